//! The health pages beside real etcd 3.7.1 in every state that they tell of: well, out of space, corrupt, without a
//! leader; with every check left out, alone, and in full words.

use super::raw::{ask, get, mask, post};
use std::path::Path;
use std::time::{Duration, Instant};
use testbed::{Cluster, Plan, Version, reference};

const PAGES: &[&str] = &[
    "/health",
    "/health?serializable=true",
    "/health?serializable=false",
    "/health?exclude=NOSPACE",
    "/health?exclude=NOSPACE&exclude=CORRUPT",
    "/health?exclude=",
    "/livez",
    "/livez?verbose",
    "/livez?verbose=false",
    "/livez?exclude=serializable_read&verbose",
    "/livez?exclude=nonsense",
    "/livez/serializable_read",
    "/livez/serializable_read?verbose",
    "/livez/data_corruption",
    "/readyz",
    "/readyz?verbose",
    "/readyz?verbose&exclude=data_corruption",
    "/readyz?exclude=data_corruption",
    "/readyz?exclude=linearizable_read&verbose",
    "/readyz?exclude=data_corruption&exclude=linearizable_read&exclude=non_learner&verbose",
    "/readyz?exclude=data_corruption,linearizable_read",
    "/readyz/data_corruption",
    "/readyz/linearizable_read?verbose",
    "/readyz/serializable_read",
    "/readyz/non_learner?exclude=non_learner",
    "/readyz/nonsense",
    "/readyz/",
];

fn answer(url: &str, page: &str) -> String {
    let answer = ask(url, &get(page));
    let kind = answer.headers.iter().find(|(name, _)| name == "content-type");
    let sniff = answer.headers.iter().any(|(name, _)| name == "x-content-type-options");
    // etcd says them in any order.
    let mut lines: Vec<String> = mask(&answer.body).lines().map(str::to_owned).collect();
    lines.sort();
    format!("{page}: {} {kind:?} {sniff} {lines:?}", answer.status)
}

/// All at once: without a leader, a page takes seconds.
fn answers(url: &str) -> Vec<String> {
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            PAGES.iter().map(|page| scope.spawn(move || answer(url, page))).collect();
        asked.into_iter().map(|answer| answer.join().unwrap()).collect()
    })
}

/// Both clusters say the same about all pages.
#[track_caller]
fn compare(state: &str, ours: &Cluster, etcd: &Cluster) {
    let [our, their] = [ours, etcd].map(|cluster| answers(&cluster.members[0].client_url));
    for (our, their) in our.iter().zip(&their) {
        assert_eq!(our, their, "{state}");
    }
}

fn alarm(cluster: &Cluster, action: u8, alarm: u8) {
    let url = &cluster.members[0].client_url;
    let body = format!(r#"{{"action":{action},"memberID":"0","alarm":{alarm}}}"#);
    let answer = ask(url, &post("/v3/maintenance/alarm", &body));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Every page in every state, one state after the other on the same two clusters of three.
#[test]
fn health_pages_equal_etcds_in_every_state() {
    let folder = tempfile::tempdir().unwrap();
    let start = |program: &Path, name: &str, extra: &[String]| {
        let folder = folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Cluster::start(&Plan { program, members: 3, folder: &folder, extra }).unwrap()
    };
    // An alarm without a cause would be taken back after a while.
    let stays = ["--nospace-disarm-after=0s".to_owned()];
    let mut ours = start(Path::new(env!("CARGO_BIN_EXE_quorate-server")), "ours", &stays);
    let mut etcd = start(&reference(Version::V3_7_1, "etcd"), "etcd", &[]);
    compare("well", &ours, &etcd);
    for (state, kind) in [("out of space", 1), ("corrupt", 2)] {
        for cluster in [&ours, &etcd] {
            alarm(cluster, 1, kind);
        }
        compare(state, &ours, &etcd);
        for cluster in [&ours, &etcd] {
            alarm(cluster, 2, kind);
        }
        compare(&format!("no longer {state}"), &ours, &etcd);
    }
    for cluster in [&mut ours, &mut etcd] {
        for member in &mut cluster.members[1..] {
            member.process.kill().unwrap();
        }
        let url = &cluster.members[0].client_url;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !ask(url, &get("/health")).body.contains("RAFT NO LEADER") {
            assert!(Instant::now() < deadline, "{}", ask(url, &get("/health")).body);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    compare("without a leader", &ours, &etcd);
}
