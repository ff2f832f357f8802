//! The papers that must keep up with the code: a row per dependency, a changelog, the house plan's rooms.

use std::collections::BTreeSet;

use super::manifests;
use super::source::{self, Source, Violation};

const TABLE: &str = "docs/dependencies.md";

/// The workspace's dependencies against the rows of `docs/dependencies.md`, both ways.
pub fn dependencies(workspace: &str, table: &str) -> Vec<Violation> {
    let declared: BTreeSet<String> = manifests::entries(workspace, "[workspace.dependencies]")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    let rows = rows(table);
    let mut found = Vec::new();
    for name in &declared {
        if !rows.iter().any(|(_, row, why)| row == name && !why.is_empty()) {
            let says = format!("`{name}` has no row. Append `| {name} | why it is here |`.");
            found.push(Violation::new(TABLE, 0, says));
        }
    }
    for (line, name, _) in &rows {
        if !declared.contains(name) {
            let says = format!("`{name}` is no dependency of the workspace. Remove its row.");
            found.push(Violation::new(TABLE, *line, says));
        }
    }
    found
}

fn rows(table: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for (n, line) in table.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", name, why, ..] = cells[..]
            && name != "crate"
            && !name.starts_with("--")
        {
            found.push((n + 1, name.trim_matches('`').to_owned(), why.to_owned()));
        }
    }
    found
}

/// `CHANGELOG.md` has an `Unreleased` part, and every line in it is an item that says something.
pub fn changelog(text: &str) -> Vec<Violation> {
    let path = "CHANGELOG.md";
    let mut lines = text.lines().enumerate();
    if !lines.any(|(_, line)| line == "## Unreleased") {
        return vec![Violation::new(
            path,
            0,
            "there is no `## Unreleased` part. Add one at the top.",
        )];
    }
    let items = lines.take_while(|(_, line)| !line.starts_with("## "));
    let is_stray = |line: &str| {
        let is_item = line.starts_with("- ") || line.starts_with("  ") || line.starts_with("### ");
        !line.is_empty() && !is_item
    };
    let stray = items.filter(|(_, line)| is_stray(line));
    let says = "an item of the changelog begins with `- `; a further line is indented.";
    stray.map(|(n, _)| Violation::new(path, n + 1, says)).collect()
}

/// Every invariant of the house plan names tests that exist, in backticks, in the last cell of its row.
pub fn invariants(plan: &str, sources: &[Source]) -> Vec<Violation> {
    let path = "docs/ARCHITECTURE.md";
    let part = plan.lines().enumerate().skip_while(|(_, line)| *line != "## Invariants").skip(1);
    let part = part.take_while(|(_, line)| !line.starts_with("## "));
    let rows = part.filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| #"));
    let mut found = Vec::new();
    let mut n_rows = 0;
    for (n, row) in rows {
        n_rows += 1;
        let cell = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).filter(|w| is_name(w)).collect();
        if names.is_empty() {
            found.push(Violation::new(path, n + 1, "no test holds this invariant. Name one."));
        }
        for name in names {
            let is_there = |source: &Source| source::has_word(&source.code, &format!("fn {name}"));
            if !sources.iter().any(is_there) {
                let says = format!("there is no test `{name}`. Name the one that holds this now.");
                found.push(Violation::new(path, n + 1, says));
            }
        }
    }
    if n_rows == 0 {
        found.push(Violation::new(path, 0, "there is no table under `## Invariants`."));
    }
    found
}

fn is_name(word: &str) -> bool {
    word.contains('_')
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An invariant without a test, and one whose test is gone, are caught.
    #[test]
    fn invariants_name_tests() {
        let sources = [Source::new("a.rs", "fn rows_are_etcds() {}")];
        let plan = |cell: &str| {
            format!(
                "## Invariants\n\n| # | always | held by |\n|---|---|---|\n| 1 | x | {cell} |\n"
            )
        };
        assert!(invariants(&plan("`rows_are_etcds` in `a/b`"), &sources).is_empty());
        assert_eq!(invariants(&plan(""), &sources).len(), 1);
        assert_eq!(invariants(&plan("`rows_are_ours`"), &sources).len(), 1);
        assert_eq!(invariants("# Plan\n", &sources).len(), 1);
    }

    /// A dependency without a row, a row without a reason and a row without a dependency are caught.
    #[test]
    fn dependencies_and_rows_agree() {
        let workspace =
            "[workspace.dependencies]\nbytes = \"1\"\nredb = { version = \"4\" }\n[x]\n";
        let table = "| crate | why |\n|---|---|\n| bytes | no copy |\n| redb | engine |\n";
        assert!(dependencies(workspace, table).is_empty());
        assert_eq!(dependencies(workspace, &table.replace("engine", "")).len(), 1);
        assert_eq!(dependencies(workspace, &table.replace("bytes", "byte")).len(), 2);
    }

    /// A changelog without an open part, or with prose between the items, is caught.
    #[test]
    fn the_changelog_is_a_list() {
        assert!(changelog("# C\n\n## Unreleased\n\n- One\n  more\n\n## 0.1\nprose\n").is_empty());
        assert_eq!(changelog("# C\n").len(), 1);
        assert_eq!(changelog("## Unreleased\nprose\n").len(), 1);
    }
}
