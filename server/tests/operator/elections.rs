//! When members that start campaign, beside real etcd 3.7.1. (One that is alone is `raft`'s own test.)

use super::stage::{SERVER, start};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testbed::{Version, reference};

const WAITS: &str = "--initial-election-tick-advance=false";

fn programs() -> [(&'static str, PathBuf); 2] {
    [("ours", SERVER.into()), ("etcd", reference(Version::V3_7_1, "etcd"))]
}

/// Three members that are told to wait do so for a whole election timeout before they have a leader.
#[test]
fn members_wait_where_they_are_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let election = Duration::from_secs(4);
    let timeout = format!("--election-timeout={}", election.as_millis());
    std::thread::scope(|scope| {
        for (kind, program) in programs() {
            let (folder, timeout) = (folder.path().join(kind), &timeout);
            scope.spawn(move || {
                let begun = Instant::now();
                start(&program, &folder, 3, &[timeout, WAITS]);
                assert!(begun.elapsed() >= election, "{kind}: {:?}", begun.elapsed());
            });
        }
    });
}
