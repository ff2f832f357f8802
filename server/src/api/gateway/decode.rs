//! From JSON to a message on the wire, by the rules and in the error texts of Go's `protojson`.
//!
//! The message is never built: a field is written as soon as it is read.

use super::json_error::JsonError;
use super::json_token::{Kind as Token, Token as JsonToken, Tokens};
use super::schema::{EnumShape, Field, Kind, Schema};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::encoding::{WireType, encode_key, encode_varint};

/// Most messages inside each other: what the gRPC decoder takes as well.
const DEPTH_MAX: usize = 100;
/// Most digits that an integer can have.
const DIGITS_MAX: i64 = 20;

/// Go's decoders do not look at the bits that the last character does not need.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Encodes the message that a well-formed JSON value says.
///
/// # Errors
/// The value is not this message.
pub fn decode(schema: &Schema, message: usize, value: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut decoder = Decoder { schema, tokens: Tokens::new(value), depth: 0 };
    let mut out = Vec::with_capacity(value.len());
    decoder.message(message, &mut out)?;
    Ok(out)
}

struct Decoder<'a> {
    schema: &'a Schema,
    tokens: Tokens<'a>,
    depth: usize,
}

impl<'a> Decoder<'a> {
    fn message(&mut self, at: usize, out: &mut Vec<u8>) -> Result<(), JsonError> {
        if self.depth >= DEPTH_MAX {
            return Err(JsonError::Message("exceeded max recursion depth".to_owned()));
        }
        self.depth += 1;
        let open = self.tokens.read();
        if open.kind != Token::ObjectOpen {
            return Err(self.tokens.unexpected(&open));
        }
        let shape = self.schema.message(at);
        let (mut seen, mut seen_oneofs) = (0_u64, 0_u64);
        loop {
            let name = self.tokens.read();
            if name.kind != Token::String {
                // The grammar is known to be right: this is the end of the object.
                self.depth -= 1;
                return Ok(());
            }
            let Some(place) = shape.find(&self.tokens.string(&name)?) else {
                self.tokens.skip()?;
                continue;
            };
            let field = &shape.fields[place];
            if seen & (1 << place) != 0 {
                let text = format!("duplicate field {}", name.text());
                return Err(self.tokens.misfit(name.at, &text));
            }
            seen |= 1 << place;
            if self.tokens.peek().kind == Token::Null {
                self.tokens.read();
                continue;
            }
            if let Some((oneof, full_name)) = &field.oneof {
                if seen_oneofs & (1 << oneof) != 0 {
                    let text =
                        format!("error parsing {}, oneof {full_name} is already set", name.text());
                    return Err(self.tokens.misfit(name.at, &text));
                }
                seen_oneofs |= 1 << oneof;
            }
            if field.is_list { self.list(field, out)? } else { self.value(field, out)? }
        }
    }

    fn list(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let open = self.tokens.read();
        if open.kind != Token::ArrayOpen {
            return Err(self.tokens.unexpected(&open));
        }
        while self.tokens.peek().kind != Token::ArrayClose {
            self.value(field, out)?;
        }
        self.tokens.read();
        Ok(())
    }

    fn value(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<(), JsonError> {
        if let Kind::Message(at) = field.kind {
            let mut inner = Vec::new();
            self.message(at, &mut inner)?;
            write_bytes(field, &inner, out);
            return Ok(());
        }
        let token = self.tokens.read();
        let text = match token.kind {
            Token::String => Some(self.tokens.string(&token)?),
            _ => None,
        };
        let is_written = match field.kind {
            Kind::Bool => match token.kind {
                Token::Bool(value) => write_varint(field, u64::from(value), out),
                _ => false,
            },
            Kind::String => text.is_some_and(|text| write_bytes(field, text.as_bytes(), out)),
            Kind::Bytes => text
                .and_then(|text| base64_bytes(&text))
                .is_some_and(|bytes| write_bytes(field, &bytes, out)),
            Kind::Enum(at) => {
                let number = enum_number(self.schema.enumeration(at), &token, text.as_deref());
                match number {
                    EnumValue::Number(n) => write_varint(field, i64::from(n).cast_unsigned(), out),
                    EnumValue::Unknown => true,
                    EnumValue::Misfit => false,
                }
            }
            _ => {
                let digits = match &text {
                    Some(text) => Some(text.as_bytes()),
                    None if token.kind == Token::Number => Some(token.raw),
                    None => None,
                };
                let number = digits.and_then(whole_number).and_then(|n| in_range(n, field.kind));
                number.is_some_and(|number| write_varint(field, number, out))
            }
        };
        if is_written {
            return Ok(());
        }
        let (kind, name) = (field.kind.name(), &field.json_name);
        let text = format!("invalid value for {kind} field {name}: {}", token.text());
        Err(self.tokens.misfit(token.at, &text))
    }
}

fn write_varint(field: &Field, value: u64, out: &mut Vec<u8>) -> bool {
    encode_key(field.number, WireType::Varint, out);
    encode_varint(value, out);
    true
}

fn write_bytes(field: &Field, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    encode_key(field.number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
    true
}

/// Standard or URL-safe, padded or not; Go skips line ends and wants padding whole where there is any.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    if !text.len().is_multiple_of(4) && text.contains('=') {
        return None;
    }
    if !text.contains(['\r', '\n']) {
        return engine.decode(text).ok();
    }
    engine.decode(text.replace(['\r', '\n'], "")).ok()
}

enum EnumValue {
    Number(i32),
    /// A name that nobody knows is passed over, like a field that nobody knows.
    Unknown,
    Misfit,
}

fn enum_number(shape: &EnumShape, token: &JsonToken<'_>, text: Option<&str>) -> EnumValue {
    if let Some(text) = text {
        let known = shape.values.iter().find(|(name, _)| name == text);
        return known.map_or(EnumValue::Unknown, |(_, number)| EnumValue::Number(*number));
    }
    if token.kind != Token::Number {
        return EnumValue::Misfit;
    }
    let number = whole_number(token.raw).and_then(|number| i32::try_from(number).ok());
    number.map_or(EnumValue::Misfit, EnumValue::Number)
}

/// The number as it stands in a varint, if it fits.
fn in_range(number: i128, kind: Kind) -> Option<u64> {
    match kind {
        Kind::Int32 => i32::try_from(number).ok().map(|n| i64::from(n).cast_unsigned()),
        Kind::Int64 => i64::try_from(number).ok().map(i64::cast_unsigned),
        Kind::Uint32 => u32::try_from(number).ok().map(u64::from),
        Kind::Uint64 => u64::try_from(number).ok(),
        _ => None,
    }
}

/// The whole number that a JSON number is, `1.50e2` included.
fn whole_number(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (mantissa, ""),
    };
    let is_digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || has_leading_zero || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    // Decimal places to move to the right.
    let shift = i64::from(exponent) - fraction.len() as i64;
    if digits.len() as i64 + shift > DIGITS_MAX {
        return None;
    }
    let digits = if shift >= 0 {
        format!("{digits}{}", "0".repeat(usize::try_from(shift).ok()?))
    } else {
        let kept = digits.len().checked_sub(usize::try_from(-shift).ok()?)?;
        let (kept, cut) = digits.split_at(kept);
        if cut.bytes().any(|c| c != b'0') {
            return None;
        }
        kept.to_owned()
    };
    let number: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some(if is_negative { -number } else { number })
}
