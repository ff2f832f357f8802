//! Go's `strconv.Quote` and the reading side of `%q`. Works on bytes, because keys need not be UTF-8.

/// Quotes as Go does: printable characters stay, the rest is escaped, invalid UTF-8 byte by byte.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(&mut out, c));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn push_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if c < ' ' || c == '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if is_printable(c) => out.push(c),
        c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

/// Go's `IsPrint` near enough: letters, marks, numbers, punctuation, symbols and the plain space. What Rust's own
/// debug form escapes is what has no printable form, except for marks that it escapes only when they stand alone.
fn is_printable(c: char) -> bool {
    if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' {
        return true;
    }
    !c.is_control() && !c.is_whitespace() && {
        let escaped: String = format!("a{c}").escape_debug().collect();
        !escaped.contains('\\')
    }
}

/// Reads a quoted string (`"…"` with Go's escapes, or raw between backquotes) at the start of `text`; gives its bytes
/// and the rest. `None` if there is none.
pub fn unquote_prefix(text: &str) -> Option<(Vec<u8>, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inside, rest) = raw.split_once('`')?;
        return Some((inside.as_bytes().to_vec(), rest));
    }
    let mut rest = text.strip_prefix('"')?;
    let mut out = Vec::new();
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Some((out, rest)),
            '\n' => return None,
            '\\' => rest = unescape(rest, &mut out)?,
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Reads what follows a backslash.
fn unescape<'a>(text: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let c = text.chars().next()?;
    let rest = &text[c.len_utf8()..];
    let simple = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        'x' => return code(rest, 2, 16, |value| push_byte(value, out)),
        'u' => return code(rest, 4, 16, |value| push_scalar(value, out)),
        'U' => return code(rest, 8, 16, |value| push_scalar(value, out)),
        '0'..='7' => return code(text, 3, 8, |value| push_byte(value, out)),
        _ => return None,
    };
    out.push(simple);
    Some(rest)
}

fn code(
    text: &str,
    digits: usize,
    radix: u32,
    push: impl FnOnce(u32) -> Option<()>,
) -> Option<&str> {
    let value = u32::from_str_radix(text.get(..digits)?, radix).ok()?;
    push(value)?;
    text.get(digits..)
}

fn push_byte(value: u32, out: &mut Vec<u8>) -> Option<()> {
    out.push(u8::try_from(value).ok()?);
    Some(())
}

fn push_scalar(value: u32, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quoting follows strconv.Quote.
    #[test]
    fn quotes_like_go() {
        assert_eq!(quote(b"a\"b\\c\n\x00\x7f\xff"), r#""a\"b\\c\n\x00\x7f\xff""#);
        assert_eq!(quote("ä€\u{200b}\u{00a0}é".as_bytes()), "\"ä€\\u200b\\u00a0é\"");
        assert_eq!(quote("e\u{301}".as_bytes()), "\"e\u{301}\"");
    }

    /// What was quoted is read back, whatever the bytes.
    #[test]
    fn reads_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = quote(&bytes);
        assert_eq!(unquote_prefix(&text), Some((bytes, "")));
        assert_eq!(unquote_prefix("`a\\n` x"), Some((b"a\\n".to_vec(), " x")));
        assert_eq!(unquote_prefix("\"\\101\\u00e4\")"), Some(("A\u{e4}".into(), ")")));
        assert_eq!(unquote_prefix("a"), None);
        assert_eq!(unquote_prefix("\"a"), None);
    }
}
