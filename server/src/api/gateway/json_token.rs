//! The tokens of one JSON value that is known to be well-formed, with their places for error texts.
//!
//! Not a parser of its own: `json_values` has checked the grammar; what is left to find are strings that are not
//! Unicode. Texts follow Go's `protojson`.

use super::json_error::JsonError;
use std::borrow::Cow;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number,
    /// A string, as written.
    String,
    /// `{`.
    ObjectOpen,
    /// `}`.
    ObjectClose,
    /// `[`.
    ArrayOpen,
    /// `]`.
    ArrayClose,
    /// Nothing more.
    End,
}

/// One token. A field name is a string; the colon and commas are not told.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// The token as written.
    pub raw: &'a [u8],
    /// Offset in the value, in bytes.
    pub at: usize,
}

impl Token<'_> {
    /// The token as written, for an error text.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.raw)
    }
}

/// Reads a value token by token.
#[derive(Debug)]
pub struct Tokens<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// At the start of a well-formed value.
    pub fn new(value: &'a [u8]) -> Tokens<'a> {
        Tokens { value, at: 0 }
    }

    /// The next token, which stays the next.
    pub fn peek(&self) -> Token<'a> {
        let ignored = |c: &u8| matches!(c, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':');
        let rest = &self.value[self.at..];
        let at = self.at + rest.iter().take_while(|c| ignored(c)).count();
        let rest = &self.value[at..];
        let word = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'+' | b'.');
        let (kind, len) = match rest.first() {
            None => (Kind::End, 0),
            Some(b'{') => (Kind::ObjectOpen, 1),
            Some(b'}') => (Kind::ObjectClose, 1),
            Some(b'[') => (Kind::ArrayOpen, 1),
            Some(b']') => (Kind::ArrayClose, 1),
            Some(b'"') => (Kind::String, string_len(rest)),
            Some(b't') => (Kind::Bool(true), 4),
            Some(b'f') => (Kind::Bool(false), 5),
            Some(b'n') => (Kind::Null, 4),
            Some(_) => (Kind::Number, rest.iter().take_while(|c| word(c)).count().max(1)),
        };
        Token { kind, raw: &rest[..len.min(rest.len())], at }
    }

    /// Takes the next token.
    pub fn read(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at = token.at + token.raw.len();
        token
    }

    /// Takes a whole value, however deep.
    ///
    /// # Errors
    /// A string in it is not Unicode.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        let mut depth = 0_usize;
        loop {
            let token = self.read();
            match token.kind {
                Kind::ObjectOpen | Kind::ArrayOpen => depth += 1,
                Kind::ObjectClose | Kind::ArrayClose => depth = depth.saturating_sub(1),
                Kind::String => drop(self.string(&token)?),
                Kind::End => return Ok(()),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// The text of a string token.
    ///
    /// # Errors
    /// It is not Unicode.
    pub fn string(&self, token: &Token<'a>) -> Result<Cow<'a, str>, JsonError> {
        let inner = &token.raw[1..token.raw.len() - 1];
        let Ok(inner) = std::str::from_utf8(inner) else {
            return Err(self.syntax(token.at, "invalid UTF-8 in string"));
        };
        if !inner.contains('\\') {
            return Ok(Cow::Borrowed(inner));
        }
        let mut out = String::with_capacity(inner.len());
        let mut rest = inner;
        while let Some((plain, escape)) = rest.split_once('\\') {
            out.push_str(plain);
            let (c, used) = self.escape(token, escape)?;
            out.push(c);
            rest = &escape[used..];
        }
        out.push_str(rest);
        Ok(Cow::Owned(out))
    }

    /// The character of an escape whose backslash is gone, and the bytes it takes.
    fn escape(&self, token: &Token<'a>, escape: &str) -> Result<(char, usize), JsonError> {
        Ok(match escape.as_bytes().first() {
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'n') => ('\n', 1),
            Some(b'r') => ('\r', 1),
            Some(b't') => ('\t', 1),
            Some(b'u') => return self.unicode_escape(token, escape),
            Some(c) => (char::from(*c), 1),
            None => ('\\', 0),
        })
    }

    fn unicode_escape(&self, token: &Token<'a>, escape: &str) -> Result<(char, usize), JsonError> {
        let unit = |text: Option<&str>| text.and_then(|text| u16::from_str_radix(text, 16).ok());
        let invalid = |shown: &str| {
            let text = format!("invalid escape code \"{}\" in string", shown.replace('\\', "\\\\"));
            self.syntax(token.at, &text)
        };
        let Some(first) = unit(escape.get(1..5)) else { return Err(invalid(escape)) };
        if let Some(c) = char::from_u32(u32::from(first)) {
            return Ok((c, 5));
        }
        let rest = &escape[5..];
        let second = rest.strip_prefix("\\u").and_then(|rest| unit(rest.get(..4)));
        let pair = second.and_then(|second| {
            char::decode_utf16([first, second]).next().and_then(Result::ok).map(|c| (c, 11))
        });
        pair.ok_or_else(|| {
            let shown: String = rest.chars().take(6).collect();
            if shown.len() < 6 {
                return JsonError::Message("unexpected EOF".to_owned());
            }
            invalid(&shown)
        })
    }

    /// `protojson`'s text for a value that may not stand here.
    pub fn unexpected(&self, token: &Token<'a>) -> JsonError {
        self.syntax(token.at, &format!("unexpected token {}", token.text()))
    }

    fn syntax(&self, at: usize, text: &str) -> JsonError {
        let (line, column) = self.place(at);
        JsonError::Message(format!("syntax error (line {line}:{column}): {text}"))
    }

    /// `protojson`'s text for a value that does not fit its field.
    pub fn misfit(&self, at: usize, text: &str) -> JsonError {
        let (line, column) = self.place(at);
        JsonError::Message(format!("(line {line}:{column}): {text}"))
    }

    /// Line and column, both from 1.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.value[..at];
        let line = before.iter().filter(|c| **c == b'\n').count() + 1;
        let start = before.iter().rposition(|c| *c == b'\n').map_or(0, |at| at + 1);
        (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
    }
}

/// Bytes of the string that the text begins with, quotes included.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}
