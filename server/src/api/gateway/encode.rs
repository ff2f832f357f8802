//! From a message on the wire to JSON as etcd's gateway writes it: proto names, defaults left out, 64-bit numbers as
//! strings, bytes in base64, enums by name, no spaces.

use super::schema::{Field, Kind, Schema};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::fmt::Write as _;

/// Bytes that are no such message: a defect of this server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an answer could not be read as its message")]
pub struct Unreadable;

impl From<prost::DecodeError> for Unreadable {
    fn from(_: prost::DecodeError) -> Unreadable {
        Unreadable
    }
}

/// How strings are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// What JSON needs: single answers.
    Plain,
    /// `<`, `>`, `&` and the line separators too, as Go's `encoding/json` does: answers of streams.
    Html,
}

/// Writes an encoded message as JSON.
///
/// # Errors
/// [`Unreadable`].
pub fn encode(
    schema: &Schema,
    message: usize,
    encoded: &[u8],
    escape: Escape,
) -> Result<String, Unreadable> {
    // Base64 and names take about this much more than the wire.
    let mut out = String::with_capacity(encoded.len() * 2 + 64);
    Writer { schema, escape }.message(message, encoded, &mut out)?;
    Ok(out)
}

/// Writes a JSON string.
pub fn write_string(text: &str, escape: Escape, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => write_unicode(c, out),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if escape == Escape::Html => {
                write_unicode(c, out);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_unicode(c: char, out: &mut String) {
    write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes any text");
}

#[derive(Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

struct Writer<'a> {
    schema: &'a Schema,
    escape: Escape,
}

impl Writer<'_> {
    fn message(&self, at: usize, encoded: &[u8], out: &mut String) -> Result<(), Unreadable> {
        let fields = &self.schema.message(at).fields;
        let mut values = parse(fields, encoded)?;
        // Encoders write in this order anyhow; whoever reads must not rely on it.
        values.sort_by_key(|(place, _)| *place);
        out.push('{');
        let mut has_any = false;
        for group in values.chunk_by(|(a, _), (b, _)| a == b) {
            let field = &fields[group[0].0];
            let last = group[group.len() - 1].1;
            if !field.is_list && field.oneof.is_none() && is_default(field.kind, last) {
                continue;
            }
            if has_any {
                out.push(',');
            }
            has_any = true;
            out.push('"');
            out.push_str(&field.name);
            out.push_str("\":");
            if field.is_list {
                self.list(field, group, out)?;
            } else {
                self.value(field.kind, last, out)?;
            }
        }
        out.push('}');
        Ok(())
    }

    fn list(
        &self,
        field: &Field,
        group: &[(usize, Raw<'_>)],
        out: &mut String,
    ) -> Result<(), Unreadable> {
        out.push('[');
        for (n, (_, value)) in group.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            self.value(field.kind, *value, out)?;
        }
        out.push(']');
        Ok(())
    }

    fn value(&self, kind: Kind, value: Raw<'_>, out: &mut String) -> Result<(), Unreadable> {
        match (kind, value) {
            (Kind::Message(at), Raw::Bytes(bytes)) => return self.message(at, bytes, out),
            (Kind::Bytes, Raw::Bytes(bytes)) => {
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            (_, Raw::Bytes(bytes)) => {
                write_string(&String::from_utf8_lossy(bytes), self.escape, out);
            }
            (Kind::Bool, Raw::Number(n)) => out.push_str(if n == 0 { "false" } else { "true" }),
            (Kind::Enum(at), Raw::Number(n)) => self.enumeration(at, n, out),
            (Kind::Int64, Raw::Number(n)) => show(format_args!("\"{}\"", n.cast_signed()), out),
            (Kind::Uint64, Raw::Number(n)) => show(format_args!("\"{n}\""), out),
            (Kind::Int32, Raw::Number(n)) => show(format_args!("{}", n as i32), out),
            (_, Raw::Number(n)) => show(format_args!("{}", n as u32), out),
        }
        Ok(())
    }

    fn enumeration(&self, at: usize, number: u64, out: &mut String) {
        let number = number as i32;
        let values = &self.schema.enumeration(at).values;
        match values.iter().find(|(_, known)| *known == number) {
            Some((name, _)) => write_string(name, self.escape, out),
            None => show(format_args!("{number}"), out),
        }
    }
}

fn show(text: std::fmt::Arguments<'_>, out: &mut String) {
    out.write_fmt(text).expect("a string takes any text");
}

fn is_default(kind: Kind, value: Raw<'_>) -> bool {
    match (kind, value) {
        (Kind::Message(_), _) => false,
        (_, Raw::Number(n)) => n == 0,
        (_, Raw::Bytes(bytes)) => bytes.is_empty(),
    }
}

/// The known fields of a message, each value with the place of its field.
fn parse<'a>(fields: &[Field], encoded: &'a [u8]) -> Result<Vec<(usize, Raw<'a>)>, Unreadable> {
    let mut rest = encoded;
    let mut values = Vec::with_capacity(fields.len());
    while rest.has_remaining() {
        let (number, wire_type) = decode_key(&mut rest)?;
        let Some(place) = fields.iter().position(|field| field.number == number) else {
            skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
            continue;
        };
        match wire_type {
            WireType::Varint => values.push((place, Raw::Number(decode_varint(&mut rest)?))),
            WireType::LengthDelimited => {
                let len = decode_varint(&mut rest)?;
                let Some((bytes, after)) =
                    usize::try_from(len).ok().and_then(|n| rest.split_at_checked(n))
                else {
                    return Err(Unreadable);
                };
                rest = after;
                if is_number(fields[place].kind) {
                    let mut packed = bytes;
                    while packed.has_remaining() {
                        values.push((place, Raw::Number(decode_varint(&mut packed)?)));
                    }
                } else {
                    values.push((place, Raw::Bytes(bytes)));
                }
            }
            _ => skip_field(wire_type, number, &mut rest, DecodeContext::default())?,
        }
    }
    Ok(values)
}

fn is_number(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}
