//! Words that may stand only in certain places: a foreign crate behind its wall, a clock outside the rooms that must
//! give the same answer on every member.

use super::source::{Source, Violation};

struct Wall {
    word: &'static str,
    /// Where the rule holds.
    within: &'static [&'static str],
    /// The places inside that which are free of it.
    except: &'static [&'static str],
    why: &'static str,
}

const REPLAYED: &[&str] = &[
    "server/src/apply/",
    "server/src/mvcc/",
    "server/src/lease/",
    "server/src/auth/",
    "server/src/cluster/",
    "server/src/alarm/",
];
const SERVER: &[&str] = &["server/src/", "storage/src/"];
const CRATES: &[&str] = &[
    "server/src/",
    "storage/src/",
    "ctl/src/",
    "tui/src/",
    "backup-agent/src/",
    "client/src/",
    "etcd-files/src/",
    "proto/src/",
    "sled-sync/src/",
];
const MAINS: &[&str] =
    &["server/src/main.rs", "ctl/src/main.rs", "tui/src/main.rs", "backup-agent/src/main.rs"];
const RAFT_ONLY: &str = "openraft is named only in server/src/raft, so that it can be replaced";
const CLOCK: &str =
    "what is replayed on every member reads no clock. Let the proposer stamp the time";
const OUTSIDE: &str = "state rooms open no file, socket or environment. Hand it in from above";
const UNBOUNDED: &str = "every queue is bounded and its limit has a name";

const WALLS: &[Wall] = &[
    Wall { word: "openraft", within: SERVER, except: &["server/src/raft/"], why: RAFT_ONLY },
    Wall {
        word: "tonic",
        within: SERVER,
        except: &[
            "server/src/api/",
            "server/src/raft/",
            "server/src/node/peer_door.rs",
            "server/src/node/discovery.rs",
        ],
        why: "tonic is named only in server/src/api, the peer transport and the call of the discovery service",
    },
    Wall {
        word: "anyhow",
        within: CRATES,
        except: MAINS,
        why: "anyhow is for main.rs, xtask and tests. Give the room an error enum with thiserror",
    },
    Wall { word: "Instant::now", within: REPLAYED, except: &[], why: CLOCK },
    Wall { word: "SystemTime", within: REPLAYED, except: &[], why: CLOCK },
    Wall { word: "rand", within: REPLAYED, except: &[], why: CLOCK },
    Wall { word: "std::fs", within: REPLAYED, except: &[], why: OUTSIDE },
    Wall { word: "std::net", within: REPLAYED, except: &[], why: OUTSIDE },
    Wall { word: "std::env", within: REPLAYED, except: &[], why: OUTSIDE },
    Wall { word: "tokio::net", within: REPLAYED, except: &[], why: OUTSIDE },
    Wall { word: "tokio::fs", within: REPLAYED, except: &[], why: OUTSIDE },
    Wall { word: "unbounded_channel", within: CRATES, except: &[], why: UNBOUNDED },
    Wall { word: "mpsc::channel()", within: CRATES, except: &[], why: UNBOUNDED },
    Wall { word: "todo!", within: CRATES, except: &[], why: "finish it, or leave it out" },
    Wall { word: "unimplemented!", within: CRATES, except: &[], why: "finish it, or leave it out" },
];

/// Crates of which one file of the storage may speak.
const ONE_FILE: [&str; 2] = ["sled", "redb"];

/// Every word that stands where it may not.
pub fn check(sources: &[Source]) -> Vec<Violation> {
    let walls =
        WALLS.iter().flat_map(|wall| sources.iter().flat_map(|source| breaches(wall, source)));
    walls.chain(ONE_FILE.iter().flat_map(|engine| second_files(engine, sources))).collect()
}

fn breaches(wall: &Wall, source: &Source) -> Vec<Violation> {
    let is_in = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
    if !is_in(wall.within) || is_in(wall.except) {
        return Vec::new();
    }
    let lines = Source::lines_with(&source.product, wall.word);
    let says = |line| Violation::new(&source.path, line, format!("`{}`: {}.", wall.word, wall.why));
    lines.into_iter().map(says).collect()
}

/// An engine's crate is reached by paths that begin with its name; a module or variable of that name is no harm.
fn second_files(engine: &str, sources: &[Source]) -> Vec<Violation> {
    let path = format!("{engine}::");
    let speaks = |source: &&Source| {
        SERVER.iter().any(|place| source.path.starts_with(place))
            && source.product.lines().any(|line| names_crate(line, &path))
    };
    let speakers: Vec<&Source> = sources.iter().filter(speaks).collect();
    let says = |source: &&Source| {
        let others: Vec<&str> =
            speakers.iter().map(|s| s.path.as_str()).filter(|path| *path != source.path).collect();
        let says = format!(
            "the crate {engine} is named in more than one file (also {}). Keep it behind the engine's trait.",
            others.join(", ")
        );
        Violation::new(&source.path, 0, says)
    };
    if speakers.len() > 1 { speakers.iter().map(says).collect() } else { Vec::new() }
}

fn names_crate(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        // `engine::redb::Redb` and `self::redb::` are our own modules.
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&[Source::new(path, text)]).len()
    }

    /// openraft outside its room is caught, inside it is not, nor in a test or a comment.
    #[test]
    fn openraft_stays_in_its_room() {
        assert_eq!(found("server/src/node/start.rs", "use openraft::Raft;"), 1);
        assert_eq!(found("server/src/raft/log.rs", "use openraft::Raft;"), 0);
        assert_eq!(found("server/src/node/start.rs", "// openraft would do this."), 0);
        assert_eq!(
            found("server/src/node/start.rs", "#[cfg(test)]\nmod tests { use openraft::A; }"),
            0
        );
    }

    /// tonic belongs to the doors and to the peer transport.
    #[test]
    fn tonic_stays_at_the_doors() {
        assert_eq!(found("server/src/mvcc/range.rs", "tonic::Status::ok()"), 1);
        assert_eq!(found("server/src/api/kv.rs", "tonic::Status::ok()"), 0);
    }

    /// A second file that names an engine's crate is caught; both are told.
    #[test]
    fn an_engine_has_one_file() {
        let one = Source::new("storage/src/sled.rs", "use sled::Db;");
        let own = Source::new("storage/src/lib.rs", "mod sled;\npub use self::sled::Sled;");
        let two = Source::new("storage/src/backend.rs", "fn f(db: &sled::Db) {}");
        assert!(check(&[one, own]).is_empty());
        let one = Source::new("storage/src/sled.rs", "use sled::Db;");
        assert_eq!(check(&[one, two]).len(), 2);
    }

    /// Replayed rooms read no clock, no randomness and no files.
    #[test]
    fn replayed_rooms_are_closed() {
        for text in [
            "Instant::now()",
            "SystemTime::now()",
            "rand::rng()",
            "use std::fs;",
            "std::env::var()",
        ] {
            assert_eq!(found("server/src/apply/put.rs", text), 1, "{text}");
        }
        assert_eq!(found("server/src/tasks/tick.rs", "Instant::now()"), 0);
    }

    /// Queues without a bound are caught anywhere in the product.
    #[test]
    fn queues_are_bounded() {
        assert_eq!(found("tui/src/worker.rs", "mpsc::unbounded_channel()"), 1);
        assert_eq!(found("client/src/watch.rs", "std::sync::mpsc::channel()"), 1);
        assert_eq!(found("client/src/watch.rs", "mpsc::channel(QUEUE_MAX)"), 0);
    }

    /// anyhow is for programs' entries.
    #[test]
    fn anyhow_is_for_mains() {
        assert_eq!(found("client/src/lib.rs", "use anyhow::Result;"), 1);
        assert_eq!(found("ctl/src/main.rs", "use anyhow::Result;"), 0);
        assert_eq!(found("xtask/src/repo.rs", "use anyhow::Result;"), 0);
    }
}
