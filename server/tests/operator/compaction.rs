//! Automatic compaction beside real etcd 3.7.1: which revision goes when.

use super::stage::{Caller, PATIENCE, SERVER, start};
use quorate_proto::etcdserverpb as pb;
use std::path::Path;
use std::time::{Duration, Instant};
use testbed::{Cluster, Version, reference};

/// History that is kept, in seconds.
const RETENTION: Duration = Duration::from_secs(4);
/// Compactions that are watched.
const COMPACTIONS: usize = 3;

/// Both programs, one member each.
fn both(folder: &Path, flags: &[&str]) -> [(&'static str, Cluster); 2] {
    let etcd = reference(Version::V3_7_1, "etcd");
    [
        ("ours", start(Path::new(SERVER), &folder.join("ours"), 1, flags)),
        ("etcd", start(&etcd, &folder.join("etcd"), 1, flags)),
    ]
}

/// True when reads of this revision are refused.
async fn is_compacted(caller: &Caller, revision: i64) -> bool {
    let request = pb::RangeRequest { key: "k".into(), revision, ..Default::default() };
    match caller.kv().range(request).await {
        Ok(_) => false,
        Err(status) => {
            assert!(status.message().contains("has been compacted"), "{status}");
            true
        }
    }
}

/// Writes ten times a second and watches what is compacted: each time the newest revision that went, how old it was by
/// then, and how long after the one before.
async fn watch_periodic(kind: &str, caller: &Caller) -> Vec<(Duration, Duration)> {
    let start = Instant::now();
    // The moment after which each revision was not the newest any more; the first is that of an empty store.
    let mut replaced: Vec<Instant> = Vec::new();
    let (mut gone, mut seen, mut last) = (0_i64, Vec::new(), start);
    while seen.len() < COMPACTIONS {
        assert!(start.elapsed() < PATIENCE, "{kind}: only {seen:?}");
        caller.put("k", "v").await.unwrap();
        replaced.push(Instant::now());
        let before = gone;
        while is_compacted(caller, gone + 1).await {
            gone += 1;
        }
        let now = Instant::now();
        if gone > before {
            // What is compacted is the newest revision of its time, which stays readable: all before it are refused.
            let age = now - replaced[usize::try_from(gone).unwrap() - 1];
            seen.push((age, now - last));
            last = now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{kind}: age of what was compacted, time since the compaction before: {seen:?}");
    seen
}

/// In periodic mode neither server compacts anything that is younger than the retention, less the tenth of it that passes
/// between two samples; and each goes on compacting.
#[tokio::test]
async fn periodic_compaction_keeps_the_retention_as_etcd_does() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--auto-compaction-mode=periodic", "--auto-compaction-retention=4s"];
    let clusters = both(folder.path(), &flags);
    let watched = clusters.iter().map(|(kind, cluster)| async move {
        let caller = Caller::to(&cluster.client_urls()[0]).await;
        for (age, since) in watch_periodic(kind, &caller).await {
            assert!(age >= RETENTION - RETENTION / 10, "{kind}: {age:?} is too young");
            assert!(since >= RETENTION / 2, "{kind}: compacted again after {since:?}");
        }
    });
    futures::future::join_all(watched).await;
}

/// In revision mode both servers look every five minutes and keep exactly so many revisions. It takes those minutes:
/// `QUORATE_SLOW_TESTS=1` lets it run.
#[tokio::test]
async fn revision_compaction_keeps_what_etcds_keeps() {
    if std::env::var_os("QUORATE_SLOW_TESTS").is_none() {
        println!("left out: takes five minutes; QUORATE_SLOW_TESTS=1 lets it run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--auto-compaction-mode=revision", "--auto-compaction-retention=100"];
    let clusters = both(folder.path(), &flags);
    let mut callers = Vec::new();
    for (kind, cluster) in &clusters {
        let caller = Caller::to(&cluster.client_urls()[0]).await;
        for _ in 0..250 {
            caller.put("k", "v").await.unwrap();
        }
        assert!(!is_compacted(&caller, 1).await, "{kind}: at once");
        callers.push((kind, caller));
    }
    // 251 revisions, of which the last hundred and one can still be read.
    for (kind, caller) in &callers {
        let begun = Instant::now();
        while !is_compacted(caller, 1).await {
            assert!(begun.elapsed() < Duration::from_secs(400), "{kind}: nothing was compacted");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let revisions = [149, 150, 151, 152];
        let mut gone = Vec::new();
        for revision in revisions {
            gone.push(is_compacted(caller, revision).await);
        }
        assert_eq!(gone, [true, true, false, false], "{kind}");
    }
}
