//! A key's value: as indented JSON, as text, or as hex, whichever fits what it is.

use ratatui::text::Line;

use super::{Content, field, paragraph};
use crate::app::KeyValue;
use crate::look::{Look, bytes, count};

/// The most of a value that is shown; more is for a pager, not for a popup.
const SHOWN_MAX: usize = 64 * 1024;

/// Makes the lines.
pub(super) fn content(value: &KeyValue, width: usize, look: &Look) -> Content {
    let theme = &look.theme;
    let size = value.value.len() as u64;
    let lease = if value.lease == 0 { "none".into() } else { format!("{:x}", value.lease) };
    let mut lines = vec![
        field("size", bytes(size), look),
        field("version", count(value.version.unsigned_abs()), look),
        field(
            "created at",
            format!("revision {}", count(value.create_revision.unsigned_abs())),
            look,
        ),
        field(
            "modified at",
            format!("revision {}", count(value.mod_revision.unsigned_abs())),
            look,
        ),
        field("lease", lease, look),
        Line::default(),
    ];
    let shown = &value.value[..value.value.len().min(SHOWN_MAX)];
    match text_of(shown) {
        _ if shown.is_empty() => lines.push(Line::styled("(empty)", theme.quiet)),
        Some(text) => lines.extend(paragraph(&text, width, theme.text)),
        None => lines.extend(hex_lines(shown).map(|line| Line::styled(line, theme.text))),
    }
    if shown.len() < value.value.len() {
        let text = format!("cut: {} more", bytes(size - shown.len() as u64));
        lines.push(Line::styled(text, theme.warning));
    }
    Content { title: printable(&value.key), lines }
}

/// The value as text, JSON indented; `None` for binary data.
fn text_of(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    if text.starts_with(['{', '['])
        && let Ok(json) = serde_json::from_str::<serde_json::Value>(text)
    {
        return serde_json::to_string_pretty(&json).ok();
    }
    let is_text = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t' | '\r');
    text.chars().all(is_text).then(|| text.replace('\t', "    ").replace('\r', ""))
}

fn hex_lines(value: &[u8]) -> impl Iterator<Item = String> {
    value.chunks(16).enumerate().map(|(at, chunk)| {
        let hex: Vec<_> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = chunk
            .iter()
            .map(
                |&byte| {
                    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }
                },
            )
            .collect();
        format!("{:06x}  {:<47}  {text}", at * 16, hex.join(" "))
    })
}

/// A key or prefix on one line: text as it is, everything else escaped, so that no byte reaches the terminal raw.
pub fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|letter| !letter.is_control()) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON is indented, text stays, binary is shown as hex, and no escape sequence survives in a key.
    #[test]
    fn values_are_shown_as_what_they_are() {
        assert_eq!(text_of(br#"{"a":1}"#).unwrap(), "{\n  \"a\": 1\n}");
        assert_eq!(text_of("grüße\n".as_bytes()).unwrap(), "grüße\n");
        assert_eq!(text_of(b"\x1b[2J"), None);
        assert_eq!(text_of(b"k8s\0\n\x0c"), None);
        let hex: Vec<_> = hex_lines(b"k8s\0").collect();
        assert!(hex[0].starts_with("000000  6b 38 73 00"), "{hex:?}");
        assert_eq!(printable(b"\x1b[31mred"), "\\x1b[31mred");
    }
}
