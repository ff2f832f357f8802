//! The papers that must keep up with the code: a row per dependency, a changelog, the house plan's rooms.

use std::collections::BTreeSet;

use super::manifests;
use super::source::Violation;

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

#[cfg(test)]
mod tests {
    use super::*;

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
