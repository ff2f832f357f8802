//! Which of our crates may depend on which, and that every crate keeps the workspace's lints.

use super::source::Violation;

/// Crate folder → our crates it may have in `[dependencies]`. Arrows run one way; tests stand outside.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("proto", &[]),
    ("sled-sync", &[]),
    ("etcd-files", &["quorate-proto"]),
    ("client", &["quorate-proto", "quorate-etcd-files"]),
    ("storage", &["quorate-etcd-files", "quorate-sled-sync"]),
    ("server", &["quorate-proto", "quorate-etcd-files", "quorate-storage"]),
    ("ctl", &["quorate-proto", "quorate-etcd-files", "quorate-storage", "quorate-client"]),
    ("tui", &["quorate-proto", "quorate-etcd-files", "quorate-client"]),
    ("backup-agent", &["quorate-proto", "quorate-etcd-files", "quorate-client"]),
    ("fuzz", &["quorate-proto", "quorate-etcd-files"]),
    ("testbed", &[]),
    (
        "xtask",
        &["testbed", "quorate-proto", "quorate-etcd-files", "quorate-client", "quorate-server"],
    ),
];

/// What stands for other people's programs: no crate of ours, and no workspace member.
const THEIRS: &str = "server/tests/clients/";

/// How the comment begins over lints that differ from the workspace's.
const OWN_LINTS: &str = "# The workspace's lints, but";

/// `manifests`: the path and text of each crate's `Cargo.toml`.
pub fn check(manifests: &[(String, String)]) -> Vec<Violation> {
    let ours = manifests.iter().filter(|(path, _)| !path.starts_with(THEIRS));
    ours.flat_map(|(path, text)| crate_manifest(path, text)).collect()
}

fn crate_manifest(path: &str, text: &str) -> Vec<Violation> {
    let folder = path.trim_end_matches("/Cargo.toml");
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == folder) else {
        let says =
            "the crate is not in the house plan. Give it a row in xtask/src/check/manifests.rs.";
        return vec![Violation::new(path, 0, says)];
    };
    let mut found = Vec::new();
    for (line, name) in entries(text, "[dependencies]") {
        if name.starts_with("quorate-") && !allowed.contains(&name.as_str()) {
            let says = format!(
                "`{folder}` may not depend on `{name}`: arrows between crates run one way."
            );
            found.push(Violation::new(path, line, says));
        }
    }
    let takes_lints = entries(text, "[lints]").iter().any(|(_, name)| name == "workspace");
    let has_reason = text.lines().any(|line| line.starts_with(OWN_LINTS));
    if !takes_lints && !has_reason {
        let says = format!(
            "the crate does not take the workspace's lints, nor says why: `{OWN_LINTS} …`."
        );
        found.push(Violation::new(path, 0, says));
    }
    found
}

/// The names of the entries of one section with their lines; a dotted name counts by its first part.
pub fn entries(text: &str, section: &str) -> Vec<(usize, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == section;
        } else if inside && line.contains('=') && !line.starts_with(['#', ' ', '\t']) {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            found.push((n + 1, name.trim_matches('"').to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&[(path.to_owned(), text.to_owned())]).iter().map(|found| found.line).collect()
    }

    /// A tool that links the server, or a format crate that links the client, is caught; a test may.
    #[test]
    fn arrows_run_one_way() {
        let good = "[lints]\nworkspace = true\n[dependencies]\nquorate-proto.workspace = true\n";
        assert!(lines("etcd-files/Cargo.toml", good).is_empty());
        let bad = good.replace("quorate-proto", "quorate-client");
        assert_eq!(lines("etcd-files/Cargo.toml", &bad), [4]);
        let tests = format!("{good}[dev-dependencies]\nquorate-server.workspace = true\n");
        assert!(lines("ctl/Cargo.toml", &tests).is_empty());
    }

    /// A crate without the workspace's lints, and a crate nobody planned, are caught.
    #[test]
    fn crates_are_planned_and_linted() {
        assert_eq!(lines("ctl/Cargo.toml", "[dependencies]\n"), [0]);
        assert_eq!(lines("extra/Cargo.toml", "[lints]\nworkspace = true\n"), [0]);
        assert!(lines("server/tests/clients/rust/Cargo.toml", "[dependencies]\n").is_empty());
    }
}
