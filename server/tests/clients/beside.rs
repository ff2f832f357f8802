//! One program against Quorate and against real etcd, at the same time, and what differs.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use testbed::{Client, Version, reference};

use super::stage::{self, Told};

/// Tries on fresh clusters. The programs talk to all three members, and one may lag behind what another has
/// acknowledged: now and then a check fails of that, on etcd's side too. What is wrong is wrong in every try.
const TRIES: usize = 3;

/// Fails unless every check of the program succeeds on both, with the same words.
pub fn compare(client: Client) {
    for _ in 1..TRIES {
        match try_once(client) {
            Ok(()) => return,
            Err(report) => println!("once more after:\n{report}"),
        }
    }
    if let Err(report) = try_once(client) {
        panic!("{report}");
    }
}

fn try_once(client: Client) -> Result<(), String> {
    let etcd = reference(Version::V3_7_1, "etcd");
    let ours = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| stage::run(client, &etcd));
        let ours = stage::run(client, ours);
        (theirs.join().unwrap(), ours)
    });
    let differences = differences(&ours, &theirs);
    let name = client.name();
    if !differences.is_empty() {
        return Err(format!("{name}:\n{}\n{}", differences.join("\n"), ours.end()));
    }
    let is_good =
        |told: &Told| told.is_success && told.lines.iter().all(|line| line.starts_with("ok "));
    if !is_good(&theirs) || !is_good(&ours) {
        return Err(format!("{name}: {ours:?}\n{theirs:?}"));
    }
    println!("{name}: {} checks, equal to etcd's", ours.lines.len());
    Ok(())
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
