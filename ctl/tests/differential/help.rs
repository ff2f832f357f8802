//! Every command and every flag that the help of etcdctl and etcdutl lists is there. What they do is compared by the
//! scripts; this finds what no script names.

use crate::Link;
use crate::side::program;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn help(program: &Path, path: &[String]) -> String {
    let output = Command::new(program).env_clear().args(path).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The long flags that begin a line, after their short form where they have one.
fn flags(help: &str) -> BTreeSet<String> {
    let entries = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let words = entries.flat_map(|line| line.split_whitespace().take(2));
    let names = words.filter(|word| word.starts_with("--") && !word.starts_with("---"));
    names.filter_map(|word| word.split(['[', '=']).next()).map(str::to_owned).collect()
}

/// The commands below one: lines of a name and its description.
fn commands(help: &str) -> BTreeSet<String> {
    let is_command = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let is_name = name.len() > 2 && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let is_described = words.next().is_some_and(|word| !word.starts_with('['));
        // The usage line begins with the program's own name.
        let is_usage = ["etcdctl", "etcdutl", "help"].contains(&name);
        (is_name && is_described && !is_usage && !name.starts_with('-')).then(|| name.to_owned())
    };
    help.lines().filter(|line| line.starts_with("  ")).filter_map(is_command).collect()
}

/// Compares one command and all below it; returns how many there were.
fn walk(theirs: &Path, ours: &Path, path: &[String], missing: &mut Vec<String>) -> usize {
    let (their_help, our_help) = (help(theirs, path), help(ours, path));
    let known = flags(&our_help);
    // Flags of every command are hidden in our help; `options` has them.
    let mut everywhere = flags(&help(ours, &["options".to_owned()]));
    everywhere.extend(flags(their_help.split("Global Flags").nth(1).unwrap_or_default()));
    let own = their_help.split("Global Flags").next().unwrap_or_default();
    let wanted = flags(own).into_iter().filter(|flag| !everywhere.contains(flag));
    missing.extend(
        wanted
            .filter(|flag| !known.contains(flag))
            .map(|flag| format!("{} {flag}", path.join(" "))),
    );
    let mut count = 1;
    for name in commands(own) {
        let below = [path, &[name]].concat();
        count += walk(theirs, ours, &below, missing);
    }
    count
}

/// See the file's header.
#[test]
fn all_commands_and_flags_are_there() {
    let link = Link::make();
    for (name, least) in [("etcdctl", 55), ("etcdutl", 8)] {
        let mut missing = Vec::new();
        let count = walk(&program(name), &link.path(name), &[], &mut missing);
        assert!(count >= least, "only {count} commands of {name} were found");
        assert!(missing.is_empty(), "{name} lacks: {missing:?}");
    }
}
