//! One program against Quorate and against real etcd, at the same time, and what differs.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use testbed::{Client, Version, reference};

use super::stage::{self, Told};

/// Fails unless every check of the program succeeds on both, with the same words.
pub fn compare(client: Client) {
    let etcd = reference(Version::V3_7_1, "etcd");
    let ours = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| stage::run(client, &etcd));
        let ours = stage::run(client, ours);
        (theirs.join().unwrap(), ours)
    });
    let differences = differences(&ours, &theirs);
    let name = client.name();
    assert!(differences.is_empty(), "{name}:\n{}\n{}", differences.join("\n"), ours.end());
    assert!(theirs.lines.iter().all(|line| line.starts_with("ok ")), "{name}: {theirs:?}");
    assert!(ours.is_success && theirs.is_success, "{name}: {ours:?}");
    println!("{name}: {} checks, equal to etcd's", ours.lines.len());
}

fn differences(ours: &Told, theirs: &Told) -> Vec<String> {
    let set = |told: &Told| told.lines.iter().cloned().collect::<BTreeSet<_>>();
    let (here, there) = (set(ours), set(theirs));
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>, who: &str| {
        a.difference(b).map(|line| format!("{who}: {line}")).collect::<Vec<_>>()
    };
    let mut all = [only(&here, &there, "quorate"), only(&there, &here, "etcd   ")].concat();
    // A check's two lines stand together.
    all.sort_by_key(|line| line.split_whitespace().nth(2).map(str::to_owned));
    all
}
