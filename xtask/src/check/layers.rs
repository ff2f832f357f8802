//! Who may import whom: the server's rooms. `ALLOWED` is the house plan of `docs/ARCHITECTURE.md` as a table.

use super::source::{Source, Violation};

/// Rooms that everyone may import and that import no room.
const LEAVES: [&str; 4] = ["types", "clock", "metrics", "shutdown"];
/// Rooms that hold replicated state; they never import each other.
const STATE: [&str; 5] = ["mvcc", "lease", "auth", "cluster", "alarm"];

/// What each room may import beside the leaves and itself.
const ALLOWED: [(&str, &[&str]); 19] = [
    ("main", &["cli", "config", "logging", "node"]),
    ("cli", &["config", "logging", "node"]),
    ("logging", &["config"]),
    ("config", &[]),
    ("node", &["config", "logging", "api", "tasks", "raft", "apply", "STATE", "storage", "tls"]),
    ("api", &["config", "apply", "raft", "STATE", "storage", "tls"]),
    ("tasks", &["config", "apply", "raft", "STATE", "storage"]),
    ("apply", &["raft", "STATE", "storage"]),
    // Raft knows what it drives by a trait of its own, and the members it serves; never what is applied.
    ("raft", &["cluster", "storage", "tls"]),
    ("tls", &[]),
    ("mvcc", &["storage"]),
    ("lease", &["storage"]),
    ("auth", &["storage"]),
    ("cluster", &["storage"]),
    ("alarm", &["storage"]),
    // A crate of its own, known to the server by the name of the room it was.
    ("storage", &[]),
    ("types", &[]),
    ("clock", &[]),
    ("metrics", &[]),
];

/// Every import of one room by another that the table does not name.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    sources.iter().filter(|source| source.path.starts_with("server/src/")).flat_map(room).collect()
}

fn room(source: &Source) -> Vec<Violation> {
    let Some(room) = room_of(&source.path) else { return Vec::new() };
    let mut found = Vec::new();
    if !is_room(room) {
        let says = format!(
            "the room `{room}` is not in the house plan. Put the file into a room, or give the room a row in \
             xtask/src/check/layers.rs and a place in docs/ARCHITECTURE.md."
        );
        found.push(Violation::new(&source.path, 0, says));
        return found;
    }
    for (line, target) in imports(source) {
        if target != room && is_room(&target) && !may_import(room, &target) {
            let says = format!(
                "`{room}` imports `{target}`, which the house plan does not allow. Move the code to a lower room \
                 or hand it in from above."
            );
            found.push(Violation::new(&source.path, line, says));
        }
    }
    found
}

fn is_room(name: &str) -> bool {
    LEAVES.contains(&name) || ALLOWED.iter().any(|(room, _)| *room == name)
}

fn may_import(room: &str, target: &str) -> bool {
    if LEAVES.contains(&room) {
        return false;
    }
    let row = ALLOWED.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, row)| *row);
    LEAVES.contains(&target)
        || row.contains(&target)
        || (row.contains(&"STATE") && STATE.contains(&target))
}

/// `server/src/api/kv.rs` → `api`, `server/src/clock.rs` → `clock`; the crate's own door has no room.
fn room_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("server/src/")?;
    let first = inside.split('/').next()?;
    let room = first.trim_end_matches(".rs");
    (room != "lib" && room != "bin").then_some(room)
}

/// The folder in which the modules declared by a file lie.
pub fn module_folder(path: &str) -> &str {
    let stem = path.trim_end_matches(".rs");
    ["/mod", "/lib", "/main"].iter().find_map(|door| stem.strip_suffix(door)).unwrap_or(stem)
}

/// First path segments after `crate::` (or the program's `quorate_server::`), and after a chain of `super::` that
/// leaves the room, each with its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut roots = vec!["crate::".to_owned(), "quorate_server::".to_owned()];
    let inside = module_folder(&source.path).strip_prefix("server/src/").unwrap_or_default();
    roots.push("super::".repeat(inside.split('/').count()));
    for root in roots {
        for (at, _) in source.code.match_indices(&root) {
            let before = source.code[..at].chars().next_back();
            let is_longer = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if is_longer {
                continue;
            }
            let line = source.code[..at].matches('\n').count() + 1;
            let names = first_segments(&source.code[at + root.len()..]);
            found.extend(names.into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// `storage::Batch` → storage; `{mvcc::{A, B}, lease}` → mvcc, lease.
fn first_segments(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut names, mut start) = (0_i32, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&[Source::new(path, text)]).iter().map(|found| found.line).collect()
    }

    /// Imports that go down are fine, in every way of writing them.
    #[test]
    fn down_is_allowed() {
        let text = "use crate::raft::Propose;\nuse crate::{mvcc::{A, B}, types::C};\n";
        assert!(lines("server/src/api/kv.rs", text).is_empty());
        assert!(lines("server/src/apply/machine.rs", "use crate::lease::Lessor;").is_empty());
        assert!(lines("server/src/apply/machine.rs", "use crate::raft::Machine;").is_empty());
        assert!(lines("server/src/main.rs", "use quorate_server::cli;").is_empty());
    }

    /// An import that goes up is found on its line.
    #[test]
    fn up_is_caught() {
        assert_eq!(lines("server/src/mvcc/index.rs", "//! x\nuse crate::raft::Log;"), [2]);
        assert_eq!(lines("server/src/types.rs", "fn f() { crate::apply::go() }"), [1]);
        assert_eq!(lines("server/src/raft/start.rs", "use crate::apply::Applier;"), [1]);
        assert_eq!(lines("server/src/apply/put.rs", "use crate::config::Config;"), [1]);
    }

    /// State rooms never import each other, nor do the two doors.
    #[test]
    fn sideways_is_caught() {
        assert_eq!(lines("server/src/mvcc/put.rs", "use crate::{storage::X, lease::L};"), [1]);
        assert_eq!(lines("server/src/tasks/tick.rs", "use crate::api::Kv;"), [1]);
    }

    /// A leaf imports no room at all.
    #[test]
    fn a_leaf_that_imports_is_caught() {
        assert_eq!(lines("server/src/clock.rs", "use crate::types::Time;"), [1]);
    }

    /// A chain of `super` that climbs out of the room counts, one that stays inside does not.
    #[test]
    fn super_is_followed() {
        assert_eq!(lines("server/src/mvcc/put.rs", "use super::super::raft::Log;"), [1]);
        assert!(lines("server/src/mvcc/put.rs", "use super::raft::Log;").is_empty());
        assert_eq!(lines("server/src/mvcc/mod.rs", "use super::raft::Log;"), [1]);
    }

    /// A room that nobody planned is asked about.
    #[test]
    fn an_unplanned_room_is_caught() {
        assert_eq!(lines("server/src/cache/mod.rs", "//! x"), [0]);
    }

    /// Words in comments and strings are no imports.
    #[test]
    fn prose_is_not_an_import() {
        assert!(
            lines("server/src/mvcc/put.rs", "// crate::raft::Log\nlet a = \"crate::api\";")
                .is_empty()
        );
    }
}
