//! Every file says at its door what it is for, and `mod.rs` is nothing but a door.

use super::source::{Source, Violation};
use super::strip;

/// A header shorter than this says nothing.
const HEADER_MIN_CHARS: usize = 18;

/// What a line of a `mod.rs` may not begin with.
const LOGIC: [&str; 9] =
    ["fn ", "async fn ", "struct ", "enum ", "trait ", "impl", "static ", "type ", "macro_rules!"];

/// Files without a `//!` header, and doors with logic in them.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    sources.iter().flat_map(|source| header(source).into_iter().chain(logic(source))).collect()
}

fn header(source: &Source) -> Option<Violation> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").map(str::trim);
    let fault = match says {
        None => "the file does not open with `//!`. Say what it is for, and what it is not",
        Some(says) if says.chars().count() < HEADER_MIN_CHARS => {
            "the header says too little. Say what the file is for, and what it is not"
        }
        Some(_) => return None,
    };
    Some(Violation::new(&source.path, 1, format!("{fault}.")))
}

fn logic(source: &Source) -> Vec<Violation> {
    if !source.path.ends_with("/mod.rs") || source.path.contains("/tests/") {
        return Vec::new();
    }
    let doors = strip::test_items(&source.code);
    let is_logic = |line: &str| {
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        LOGIC.iter().any(|word| line.starts_with(word))
    };
    let lines = doors.lines().enumerate().filter(|(_, line)| is_logic(line));
    let says = "mod.rs is a door: header, modules, re-exports. Move this into a file with a name.";
    lines.map(|(n, _)| Violation::new(&source.path, n + 1, says)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&[Source::new(path, text)]).iter().map(|found| found.line).collect()
    }

    /// A file without a header, or with one that says nothing, is caught.
    #[test]
    fn headers_are_wanted() {
        assert_eq!(lines("tui/src/a.rs", "use std::fs;"), [1]);
        assert_eq!(lines("tui/src/a.rs", "//! Program entry."), [1]);
        assert!(lines("tui/src/a.rs", "//! Draws the row of one member.").is_empty());
    }

    /// Logic in a `mod.rs` is caught; modules, re-exports and tests are what it is for.
    #[test]
    fn a_door_has_no_logic() {
        let door = "//! The room that orders entries.\n\nmod log;\npub use log::Log;\n";
        assert!(lines("server/src/raft/mod.rs", door).is_empty());
        assert_eq!(lines("server/src/raft/mod.rs", &format!("{door}pub fn go() {{}}\n")), [5]);
        let tests = format!("{door}#[cfg(test)]\nmod tests {{\nfn go() {{}}\n}}\n");
        assert!(lines("server/src/raft/mod.rs", &tests).is_empty());
    }
}
