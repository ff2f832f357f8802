//! The page of all flags (`docs/flags.md`), made from the server's own tables. They are read as text, one call of `flag`
//! a line, so that the page can be made and held without building the server.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::source::Violation;

pub const PAGE: &str = "docs/flags.md";
pub const FLAGS: &str = "server/src/config/flags.rs";
pub const OLD_SPELLINGS: &str = "server/src/config/old_spellings.rs";

/// The page must be the one that the tables make.
pub fn check(flags: &str, old: &str, page: &str) -> Vec<Violation> {
    match make(flags, old) {
        Ok(made) if made == page => Vec::new(),
        Ok(_) => {
            let says = "the page is not that of the tables. Run `cargo xtask flags`.";
            vec![Violation::new(PAGE, 0, says)]
        }
        Err(error) => {
            let says = format!("{error:#}. Keep one call of `flag` a line.");
            vec![Violation::new(FLAGS, 0, says)]
        }
    }
}

/// One flag of the server's table.
pub struct FlagLine {
    pub group: String,
    pub name: String,
    pub default: String,
    support: String,
    pub help: String,
}

fn lines(flags: &str) -> impl Iterator<Item = Result<FlagLine>> {
    calls(flags, "flag(").map(|line| match <[String; 6]>::try_from(arguments(line)) {
        Ok([group, name, _, default, support, help]) => {
            Ok(FlagLine { group, name, default, support, help })
        }
        Err(_) => anyhow::bail!("a flag without six arguments: {line}"),
    })
}

/// The flags of this work tree's server, in the order of its table.
pub fn server_flags() -> Result<Vec<FlagLine>> {
    lines(&super::source::text(FLAGS)?).collect()
}

/// Makes the page.
pub fn make(flags: &str, old: &str) -> Result<String> {
    let mut page = String::from(
        "# Flags of quorate-server\n\n\
         Made by `cargo xtask flags` from the server's own tables; do not edit. Every flag may also be given as the\n\
         variable `ETCD_` and its name in upper case with `_` for `-`, or as a key of `--config-file`, which replaces both.\n\
         Durations in the file are nanoseconds, or texts as here.\n\n\
         - **honoured**: it has etcd's effect.\n\
         - **accepted**: it cannot have a meaning here, or has none any more; one warning says so.\n\n\
         What the parser does not know ends it with code 2, as in etcd.\n",
    );
    let mut group = String::new();
    for line in lines(flags) {
        let FlagLine { group: of, name, default, support, help } = line?;
        if of != group {
            group.clone_from(&of);
            write!(
                page,
                "\n## {group}\n\n| Flag | Default | Here | Meaning |\n|---|---|---|---|\n"
            )?;
        }
        let support = match support.as_str() {
            "Support::Honoured" => "honoured",
            "Support::Ignored" => "accepted",
            other => anyhow::bail!("{other} is no support of a flag"),
        };
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        writeln!(page, "| `--{name}` | {default} | {support} | {} |", help.replace('|', "\\|"))?;
    }
    page.push_str(
        "\n## Spellings of older releases\n\nAccepted with a warning, also in the environment and in the file.\n\n\
         | Old | Now |\n|---|---|\n",
    );
    for line in calls(old, "gate(") {
        let [name, now] = &arguments(line)[..] else { anyhow::bail!("not a gate: {line}") };
        writeln!(page, "| `--{name}` | `--feature-gates={now}=true` |")?;
    }
    for line in calls(old, "flag(") {
        let [name, _, now] = &arguments(line)[..] else { anyhow::bail!("not a flag: {line}") };
        writeln!(page, "| `--{name}` | `--{now}` |")?;
    }
    Ok(page)
}

/// The lines that are one call of `function`, without it and its brackets.
fn calls<'a>(text: &'a str, function: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim().strip_prefix(function)?.strip_suffix("),"))
}

/// The arguments of a call: literals without their quotes and escapes, names as they stand.
fn arguments(call: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut is_text = false;
    let mut characters = call.chars();
    while let Some(character) = characters.next() {
        let last = found.last_mut().expect("there is always one argument");
        match character {
            '"' => is_text = !is_text,
            '\\' if is_text => last.extend(characters.next()),
            ',' if !is_text => found.push(String::new()),
            ' ' if !is_text => {}
            other => last.push(other),
        }
    }
    found
}

/// Writes the page of this work tree.
pub fn write() -> Result<()> {
    use super::source::text;
    let page = make(&text(FLAGS)?, &text(OLD_SPELLINGS)?)?;
    std::fs::write(crate::repo::root().join(PAGE), page).context(PAGE)?;
    println!("flags: {PAGE} is written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "    flag(\"Member\", \"name\", Kind::Text, \"default\", Support::Honoured, \"A, \\\"b\\\".\"),\n";
    const OLD: &str =
        "    gate(\"experimental-x\", \"X\"),\n    flag(\"experimental-y\", Kind::Text, \"y\"),\n";

    /// A flag's line holds what the table says; a page that says something else is told.
    #[test]
    fn the_page_follows_the_tables() {
        let page = make(TABLE, OLD).unwrap();
        assert!(page.contains("| `--name` | `default` | honoured | A, \"b\". |\n"));
        assert!(page.contains("| `--experimental-x` | `--feature-gates=X=true` |\n"));
        assert!(page.contains("| `--experimental-y` | `--y` |\n"));
        assert!(check(TABLE, OLD, &page).is_empty());
        assert_eq!(check(&TABLE.replace("Honoured", "Ignored"), OLD, &page).len(), 1);
        assert_eq!(check("    flag(\"half\"),\n", OLD, &page).len(), 1);
    }
}
