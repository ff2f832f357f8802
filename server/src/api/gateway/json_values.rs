//! Cuts a body into JSON values while its bytes arrive. Knows JSON's grammar, not what the values mean.
//!
//! A value is handed out as soon as its last bracket is there, so that a request on an open stream is served at once;
//! what follows the last value that anyone asked for is never looked at. The texts of errors are those of Go's
//! `encoding/json`, whose decoder does this in grpc-gateway.

use super::json_error::JsonError;
use bytes::{Buf, Bytes, BytesMut};

/// Most brackets that may be open at once (Go's `maxNestingDepth`).
const DEPTH_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    ObjectKey,
    ObjectValue,
    Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    BeginValue,
    BeginValueOrEmpty,
    BeginKey,
    BeginKeyOrEmpty,
    EndValue,
    InString,
    InEscape,
    /// Hexadecimal digits still to come.
    InUnicode(u8),
    /// The word, and how much of it has come.
    InWord(&'static str, usize),
    Minus,
    Zero,
    Digits,
    Dot,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

enum Step {
    Goes,
    /// The value ended before this byte.
    EndedBefore,
    /// The value ends with this byte.
    EndsHere,
}

/// The values of one body.
#[derive(Debug)]
pub struct JsonValues {
    buffer: BytesMut,
    /// Bytes of the buffer that have been looked at.
    seen: usize,
    state: State,
    open: Vec<Open>,
    bytes_max: usize,
}

impl JsonValues {
    /// No bytes yet; a value may have up to `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> JsonValues {
        JsonValues {
            buffer: BytesMut::new(),
            seen: 0,
            state: State::BeginValue,
            open: Vec::new(),
            bytes_max,
        }
    }

    /// Adds bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the end of their value.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next value that is complete.
    ///
    /// # Errors
    /// The bytes are not JSON, or the value is too large.
    pub fn next_value(&mut self) -> Result<Option<Bytes>, JsonError> {
        while let Some(&byte) = self.buffer.get(self.seen) {
            match self.step(byte)? {
                Step::Goes => self.seen += 1,
                Step::EndedBefore => return Ok(Some(self.take())),
                Step::EndsHere => {
                    self.seen += 1;
                    return Ok(Some(self.take()));
                }
            }
        }
        if self.buffer.len() > self.bytes_max {
            return Err(JsonError::TooLarge { found: self.buffer.len(), limit: self.bytes_max });
        }
        Ok(None)
    }

    /// The value that the end of the body completes: a bare number, at most.
    ///
    /// # Errors
    /// The body ends inside a value.
    pub fn finish(&mut self) -> Result<Option<Bytes>, JsonError> {
        if self.buffer.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        match self.step(b' ') {
            Ok(Step::EndedBefore) => Ok(Some(self.take())),
            _ => Err(JsonError::Truncated),
        }
    }

    fn take(&mut self) -> Bytes {
        let mut value = self.buffer.split_to(self.seen).freeze();
        self.seen = 0;
        self.state = State::BeginValue;
        self.open.clear();
        let start = value.iter().position(|byte| !is_space(*byte)).unwrap_or(0);
        value.advance(start);
        value
    }

    fn step(&mut self, c: u8) -> Result<Step, JsonError> {
        match self.state {
            State::BeginValue => self.begin_value(c),
            State::BeginValueOrEmpty if c == b']' => self.end_value(c),
            State::BeginValueOrEmpty => self.begin_value(c),
            State::BeginKeyOrEmpty if c == b'}' => {
                self.set_top(Open::ObjectValue);
                self.end_value(c)
            }
            State::BeginKey | State::BeginKeyOrEmpty => match c {
                b'"' => self.go(State::InString),
                _ if is_space(c) => Ok(Step::Goes),
                _ => Err(invalid(c, "looking for beginning of object key string")),
            },
            State::EndValue => self.end_value(c),
            State::InString | State::InEscape | State::InUnicode(_) => self.in_string(c),
            State::InWord(word, n) => self.in_word(word, n, c),
            _ => self.in_number(c),
        }
    }

    fn go(&mut self, state: State) -> Result<Step, JsonError> {
        self.state = state;
        Ok(Step::Goes)
    }

    fn begin_value(&mut self, c: u8) -> Result<Step, JsonError> {
        let state = match c {
            _ if is_space(c) => return Ok(Step::Goes),
            b'{' => return self.open(c, Open::ObjectKey, State::BeginKeyOrEmpty),
            b'[' => return self.open(c, Open::Array, State::BeginValueOrEmpty),
            b'"' => State::InString,
            b'-' => State::Minus,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Digits,
            b't' => State::InWord("true", 1),
            b'f' => State::InWord("false", 1),
            b'n' => State::InWord("null", 1),
            _ => return Err(invalid(c, "looking for beginning of value")),
        };
        self.go(state)
    }

    fn open(&mut self, c: u8, what: Open, state: State) -> Result<Step, JsonError> {
        self.open.push(what);
        if self.open.len() > DEPTH_MAX {
            return Err(invalid(c, "exceeded max depth"));
        }
        self.go(state)
    }

    fn set_top(&mut self, what: Open) {
        if let Some(top) = self.open.last_mut() {
            *top = what;
        }
    }

    fn close(&mut self) -> Result<Step, JsonError> {
        self.open.pop();
        if self.open.is_empty() { Ok(Step::EndsHere) } else { self.go(State::EndValue) }
    }

    fn end_value(&mut self, c: u8) -> Result<Step, JsonError> {
        let Some(open) = self.open.last().copied() else { return Ok(Step::EndedBefore) };
        if is_space(c) {
            return self.go(State::EndValue);
        }
        match (open, c) {
            (Open::ObjectKey, b':') => {
                self.set_top(Open::ObjectValue);
                self.go(State::BeginValue)
            }
            (Open::ObjectValue, b',') => {
                self.set_top(Open::ObjectKey);
                self.go(State::BeginKey)
            }
            (Open::Array, b',') => self.go(State::BeginValue),
            (Open::ObjectValue, b'}') | (Open::Array, b']') => self.close(),
            (Open::ObjectKey, _) => Err(invalid(c, "after object key")),
            (Open::ObjectValue, _) => Err(invalid(c, "after object key:value pair")),
            (Open::Array, _) => Err(invalid(c, "after array element")),
        }
    }

    fn in_string(&mut self, c: u8) -> Result<Step, JsonError> {
        match (self.state, c) {
            (State::InUnicode(left), _) if c.is_ascii_hexdigit() => {
                self.go(if left > 1 { State::InUnicode(left - 1) } else { State::InString })
            }
            (State::InUnicode(_), _) => Err(invalid(c, "in \\u hexadecimal character escape")),
            (State::InEscape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => {
                self.go(State::InString)
            }
            (State::InEscape, b'u') => self.go(State::InUnicode(4)),
            (State::InEscape, _) => Err(invalid(c, "in string escape code")),
            (_, b'"') => self.go(State::EndValue),
            (_, b'\\') => self.go(State::InEscape),
            (_, 0..0x20) => Err(invalid(c, "in string literal")),
            _ => Ok(Step::Goes),
        }
    }

    fn in_word(&mut self, word: &'static str, n: usize, c: u8) -> Result<Step, JsonError> {
        if word.as_bytes()[n] != c {
            return Err(invalid(c, word_context(word, n)));
        }
        self.go(if n + 1 == word.len() { State::EndValue } else { State::InWord(word, n + 1) })
    }

    fn in_number(&mut self, c: u8) -> Result<Step, JsonError> {
        let is_digit = c.is_ascii_digit();
        match (self.state, c) {
            (State::Minus, b'0') => self.go(State::Zero),
            (State::Minus | State::Digits, _) if is_digit => self.go(State::Digits),
            (State::Minus, _) => Err(invalid(c, "in numeric literal")),
            (State::Zero | State::Digits, b'.') => self.go(State::Dot),
            (State::Zero | State::Digits | State::Fraction, b'e' | b'E') => {
                self.go(State::Exponent)
            }
            (State::Dot | State::Fraction, _) if is_digit => self.go(State::Fraction),
            (State::Dot, _) => Err(invalid(c, "after decimal point in numeric literal")),
            (State::Exponent, b'+' | b'-') => self.go(State::ExponentSign),
            (State::Exponent | State::ExponentSign | State::ExponentDigits, _) if is_digit => {
                self.go(State::ExponentDigits)
            }
            (State::Exponent | State::ExponentSign, _) => {
                Err(invalid(c, "in exponent of numeric literal"))
            }
            _ => self.end_value(c),
        }
    }
}

fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\r' | b'\n')
}

fn word_context(word: &str, n: usize) -> &'static str {
    match (word, n) {
        ("true", 1) => "in literal true (expecting 'r')",
        ("true", 2) => "in literal true (expecting 'u')",
        ("true", _) => "in literal true (expecting 'e')",
        ("false", 1) => "in literal false (expecting 'a')",
        ("false", 2) => "in literal false (expecting 'l')",
        ("false", 3) => "in literal false (expecting 's')",
        ("false", _) => "in literal false (expecting 'e')",
        (_, 1) => "in literal null (expecting 'u')",
        _ => "in literal null (expecting 'l')",
    }
}

fn invalid(c: u8, context: &'static str) -> JsonError {
    JsonError::Syntax { character: quoted(c), context }
}

/// Go takes the byte for a code point, and quotes it as in its source code.
fn quoted(c: u8) -> String {
    match c {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        0x07 => "'\\a'".to_owned(),
        0x08 => "'\\b'".to_owned(),
        0x0b => "'\\v'".to_owned(),
        0x0c => "'\\f'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{c:02x}'"),
        0x80..=0xa0 | 0xad => format!("'\\u{c:04x}'"),
        _ => format!("'{}'", char::from(c)),
    }
}
