//! Files and functions that have grown past what one reads in one go.

use super::source::{Source, Violation};
use super::strip;

/// Past this a file's header has to say why: `//! Long because …`.
const FILE_REASON_LINES: usize = 500;
/// The wall.
const FILE_MAX_LINES: usize = 800;
/// Code lines of one function; blank lines and comments do not count. Tests are exempt: a scenario is read top down.
const FUNCTION_MAX_LINES: usize = 70;

pub fn check(sources: &[Source]) -> Vec<Violation> {
    sources.iter().flat_map(|source| file(source).into_iter().chain(functions(source))).collect()
}

fn file(source: &Source) -> Option<Violation> {
    let lines = source.text.lines().count();
    let has_reason = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .any(|line| line.starts_with("//! Long because "));
    let says = if lines > FILE_MAX_LINES {
        format!("{lines} lines, and {FILE_MAX_LINES} are the wall. Split the file by what it does.")
    } else if lines > FILE_REASON_LINES && !has_reason {
        format!("{lines} lines. Split the file, or say in its header `//! Long because …`.")
    } else {
        return None;
    };
    Some(Violation::new(&source.path, 0, says))
}

fn functions(source: &Source) -> Vec<Violation> {
    let code = &source.product;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let end = strip::item_end(code, at);
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let lines = code[at..end].lines().filter(|line| !line.trim().is_empty()).count();
        let limit = FUNCTION_MAX_LINES;
        if !name.is_empty() && lines > limit {
            let line = code[..at].matches('\n').count() + 1;
            let says = format!(
                "`{name}` has {lines} lines, {limit} are allowed. Give a part of it a name."
            );
            found.push(Violation::new(&source.path, line, says));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> Vec<String> {
        check(&[Source::new("tui/src/a.rs", text)]).into_iter().map(|found| found.says).collect()
    }

    /// 500 lines need a reason; a reason helps up to 800 and no further.
    #[test]
    fn long_files_are_caught() {
        let header = "//! Draws the row of one member.\n";
        let reason = format!("{header}//! Long because the table is one thing.\n");
        assert!(says(&format!("{header}{}", "const A: u8 = 1;\n".repeat(400))).is_empty());
        assert_eq!(says(&format!("{header}{}", "const A: u8 = 1;\n".repeat(600))).len(), 1);
        assert!(says(&format!("{reason}{}", "const A: u8 = 1;\n".repeat(600))).is_empty());
        assert_eq!(says(&format!("{reason}{}", "const A: u8 = 1;\n".repeat(900))).len(), 1);
    }

    /// A function's length is counted without its comments and blank lines.
    #[test]
    fn long_functions_are_caught() {
        let body = |line: &str, n| format!("fn f() {{\n{}}}\n", line.repeat(n));
        assert_eq!(says(&body("    go();\n", 71)).len(), 1);
        assert!(says(&body("    go();\n    // Why.\n\n", 60)).is_empty());
        assert!(says(&format!("#[cfg(test)]\nmod tests {{\n{}}}", body("go();\n", 90))).is_empty());
    }
}
