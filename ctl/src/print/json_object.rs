//! A JSON object as Go's encoder writes it: fields in the order given, no spaces, zero fields left out where the Go
//! struct says `omitempty`, bytes in base64, `<`, `>` and `&` escaped. Knows nothing of etcd's messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Display;

/// See the file's header. Fields without `always_` are left out when zero.
pub struct Object(String);

impl Object {
    /// An empty object.
    pub fn new() -> Object {
        Object(String::from("{"))
    }

    /// The finished text.
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    /// A value that is JSON already.
    pub fn raw(mut self, name: &str, value: &str) -> Object {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&string(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    /// A value that is JSON already, if there is one.
    pub fn optional(self, name: &str, value: Option<String>) -> Object {
        match value {
            Some(value) => self.raw(name, &value),
            None => self,
        }
    }

    /// A number, left out when zero.
    pub fn number<N: Display + Default + PartialEq>(self, name: &str, value: N) -> Object {
        if value == N::default() { self } else { self.raw(name, &value.to_string()) }
    }

    /// A number or truth value, zero or not.
    pub fn always_plain(self, name: &str, value: impl Display) -> Object {
        self.raw(name, &value.to_string())
    }

    /// A truth value, left out when false.
    pub fn flag(self, name: &str, value: bool) -> Object {
        if value { self.raw(name, "true") } else { self }
    }

    /// A text, left out when empty.
    pub fn text(self, name: &str, value: &str) -> Object {
        if value.is_empty() { self } else { self.always_text(name, value) }
    }

    /// A text, empty or not.
    pub fn always_text(self, name: &str, value: &str) -> Object {
        self.raw(name, &string(value))
    }

    /// Bytes, left out when empty.
    pub fn bytes(self, name: &str, value: &[u8]) -> Object {
        if value.is_empty() { self } else { self.raw(name, &bytes(value)) }
    }

    /// A list of values that are JSON already, left out when empty.
    pub fn list(self, name: &str, items: impl IntoIterator<Item = String>) -> Object {
        let items = list(items);
        if items == "[]" { self } else { self.raw(name, &items) }
    }
}

/// A JSON list of values that are JSON already.
pub fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(","))
}

/// Bytes as a JSON string in base64.
pub fn bytes(value: &[u8]) -> String {
    format!("\"{}\"", STANDARD.encode(value))
}

/// A JSON string with Go's escapes.
pub fn string(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zero fields vanish, the order stays, Go's escapes are used.
    #[test]
    fn encodes_like_go() {
        let object = Object::new()
            .number("a", 0)
            .number("b", -1_i64)
            .flag("c", false)
            .text("d", "<x> & \"y\"\n")
            .bytes("e", b"foo")
            .list("f", [])
            .always_plain("g", 0);
        let expected = r#"{"b":-1,"d":"\u003cx\u003e \u0026 \"y\"\n","e":"Zm9v","g":0}"#;
        assert_eq!(object.finish(), expected);
    }
}
