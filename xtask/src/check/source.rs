//! The files that the rules look at, read once, and what a rule says of one.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::strip;
use crate::repo;

/// One Rust file.
pub struct Source {
    /// From the root of the work tree, with `/`.
    pub path: String,
    pub text: String,
    /// `text` without comments and the insides of literals; tests included.
    pub code: String,
    /// `code` without `#[cfg(test)]` items; empty for a file that only tests use.
    pub product: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = strip::comments_and_strings(text);
        let product = if is_test_path(path) { String::new() } else { strip::test_items(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, product }
    }

    /// The lines of `part` (`code` or `product`) on which `word` stands as a word of its own, from 1.
    pub fn lines_with(part: &str, word: &str) -> Vec<usize> {
        let has = |line: &str| has_word(line, word);
        part.lines().enumerate().filter(|(_, line)| has(line)).map(|(n, _)| n + 1).collect()
    }
}

/// Whether `word` stands in `line` and does not continue a longer identifier.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let (opens, closes) = (word.starts_with(is_part), word.ends_with(is_part));
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let continues = opens && before.is_some_and(is_part);
        let goes_on = closes && after.is_some_and(is_part);
        !continues && !goes_on
    })
}

fn is_test_path(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    path.contains("/tests/") || file == "tests.rs" || file.ends_with("_tests.rs")
}

/// A broken rule: where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    pub path: String,
    /// From 1; 0 when the file as a whole is meant.
    pub line: usize,
    pub says: String,
}

impl Violation {
    pub fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, says: says.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.says),
            line => write!(formatter, "{}:{line}: {}", self.path, self.says),
        }
    }
}

/// The work tree's Rust files, committed or not, but none that git ignores.
pub fn rust_files() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in listed("*.rs")? {
        sources.push(Source::new(&path, &text(&path)?));
    }
    mark_test_modules(&mut sources);
    Ok(sources)
}

/// Paths that git knows or would add, for a pattern.
pub fn listed(pattern: &str) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(repo::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listing = repo::output(git.arg("--").arg(pattern))?;
    // A file removed but not yet committed is still listed.
    let there = |path: &&str| repo::root().join(path).is_file();
    Ok(listing.lines().filter(there).map(str::to_owned).collect())
}

/// A file of the work tree.
pub fn text(path: &str) -> Result<String> {
    let path = repo::root().join(Path::new(path));
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// A file that is only reached by `#[cfg(test)] mod name;` is a test, whatever it is called.
fn mark_test_modules(sources: &mut [Source]) {
    let mut test_paths = Vec::new();
    for source in sources.iter() {
        for (at, mark) in source.code.match_indices("#[cfg(test)]") {
            let end = strip::item_end(&source.code, at + mark.len());
            let item = source.code[at + mark.len()..end].trim();
            let name = item.trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let Some(name) = name.and_then(|name| name.strip_suffix(';')) {
                let folder = super::layers::module_folder(&source.path);
                test_paths.push(format!("{folder}/{}", name.trim()));
            }
        }
    }
    for source in sources {
        let stem = source.path.trim_end_matches(".rs");
        let reached = |path: &String| stem == path || stem.starts_with(&format!("{path}/"));
        if test_paths.iter().any(reached) {
            source.product.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `redb` is not found in `quorate_redb` nor in `redbx`, but it is in `redb::`.
    #[test]
    fn words_are_whole() {
        assert!(has_word("use redb::Database;", "redb"));
        assert!(!has_word("use quorate_redb::x; redbx", "redb"));
    }

    /// Where a file is only reached from a test, nothing of it counts as product.
    #[test]
    fn test_modules_in_files_are_not_product() {
        let mut sources = vec![
            Source::new("server/src/storage/mod.rs", "//! x\n#[cfg(test)]\nmod conformance;\n"),
            Source::new("server/src/storage/conformance.rs", "fn a() {}"),
            Source::new("server/src/storage/engine.rs", "fn a() {}"),
        ];
        mark_test_modules(&mut sources);
        assert!(sources[1].product.is_empty());
        assert!(!sources[2].product.is_empty());
    }
}
