//! Data directories of stopped members, Quorate's and etcd's: exported, hashed and defragmented without a server.

use super::{ctl, json, says, start};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testbed::{Cluster, Plan, Process, Version, free_ports, reference};

const LIMIT: Duration = Duration::from_secs(60);

fn write(url: &str, from: usize, count: usize) {
    for n in from..from + count {
        says(&["--endpoints", url, "put", &format!("key{n}"), &"v".repeat(200)]);
    }
}

fn live_hash(url: &str) -> i64 {
    let hash = json(&["--endpoints", url, "endpoint", "hashkv"]);
    hash[0]["HashKV"]["hash"].as_i64().unwrap()
}

/// The hash of a killed member's directory is the one that the member gave while it ran, its log included.
fn hash_survives(mut cluster: Cluster, folder: &Path) {
    let url = cluster.client_urls()[0].clone();
    let dir = folder.join("m1");
    let dir = dir.to_str().unwrap();
    write(&url, 0, 30);
    let lease = says(&["--endpoints", &url, "lease", "grant", "1000"]);
    let lease = lease.split(' ').nth(1).unwrap();
    says(&["--endpoints", &url, "put", "leased", "1", "--lease", lease]);
    says(&["--endpoints", &url, "del", "key3"]);
    let hash = live_hash(&url);
    cluster.members[0].process.kill().unwrap();
    // The last entries may stand in the log beyond the commit index that is on disk.
    let saved = folder.join("saved.db");
    let saved = saved.to_str().unwrap();
    let export = json(&["snapshot", "export", dir, saved, "--with-tail"]);
    assert_eq!(export["revision"], 33);
    assert_eq!(json(&["hashkv", saved])["hash"], hash);
    // The directory was only read: the member goes on with everything.
    cluster.members[0].process.start().unwrap();
    cluster.members[0].process.wait_ready(LIMIT).unwrap();
    assert_eq!(live_hash(&url), hash);
}

/// kill -9 of a Quorate member: nothing that it acknowledged is missing from the export.
#[test]
fn a_killed_quorate_member_is_exported_whole() {
    let folder = tempfile::tempdir().unwrap();
    hash_survives(start(folder.path(), 1), folder.path());
}

/// The same for etcd.
#[test]
fn a_killed_etcd_member_is_exported_whole() {
    let folder = tempfile::tempdir().unwrap();
    let program = reference(Version::V3_7_1, "etcd");
    let plan = Plan { program: &program, members: 1, folder: folder.path(), extra: &[] };
    hash_survives(Cluster::start(&plan).unwrap(), folder.path());
}

/// An export of a stopped Quorate member restores into real etcd of every release with the same hash, by etcdutl and by
/// `--for-etcd`.
#[test]
fn an_export_restores_into_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = start(folder.path(), 1);
    let url = cluster.client_urls()[0].clone();
    write(&url, 0, 20);
    let hash = live_hash(&url);
    cluster.members[0].process.stop(LIMIT).unwrap();
    let (dir, saved) = (folder.path().join("m1"), folder.path().join("saved.db"));
    let (dir, saved) = (dir.to_str().unwrap(), saved.to_str().unwrap());
    says(&["snapshot", "export", dir, saved]);
    assert_eq!(json(&["hashkv", dir])["hash"], hash);
    let utl = reference(Version::V3_7_1, "etcdutl");
    let restored = folder.path().join("restored");
    let ran = Command::new(utl)
        .args(["snapshot", "restore", saved, "--data-dir"])
        .arg(&restored)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let database = restored.join("member/snap/db");
    assert_eq!(json(&["hashkv", database.to_str().unwrap()])["hash"], hash);
    // For an older release its storage version is another, or not there.
    for (release, version) in [("3.7", "3.7.0"), ("3.6", "3.6.0"), ("3.5", ""), ("3.4", "")] {
        let restored = folder.path().join(release);
        let data = restored.to_str().unwrap();
        says(&["snapshot", "restore", saved, "--for-etcd", release, "--data-dir", data]);
        let database = restored.join("member/snap/db");
        let database = database.to_str().unwrap();
        assert_eq!(json(&["snapshot", "status", database])["version"], version);
        assert_eq!(json(&["hashkv", database])["hash"], hash);
    }
    for version in [Version::V3_7_1, Version::V3_5_1, Version::V3_4_23] {
        let (release, _) = version.name().rsplit_once('.').unwrap();
        goes_on_as(version, &folder.path().join(release), hash);
    }
}

/// Real etcd boots what was restored for its release, with all its verifications on, has the hash and takes writes.
fn goes_on_as(version: Version, data: &Path, hash: i64) {
    let ports = free_ports(2).unwrap();
    let [url, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
    let flags = [
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        "--logger=zap".to_owned(),
    ];
    if version != Version::V3_4_23 {
        // Its own tool takes the directory as one of its own; 3.4 has none.
        let mut utl = Command::new(reference(version, "etcdutl"));
        let ran = utl.args(["defrag", "--data-dir"]).arg(data).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    let etcd = Process::new("etcd", data, &reference(version, "etcd"), &flags);
    let mut etcd = etcd.with_variable("ETCD_VERIFY", "all");
    etcd.start().unwrap();
    etcd.wait_ready(LIMIT).unwrap();
    assert_eq!(live_hash(&url), hash, "{}", version.name());
    write(&url, 20, 2);
    etcd.stop(LIMIT).unwrap();
}

/// Defragmenting a stopped Quorate member gives space back and loses nothing; in use, it is refused.
#[test]
fn a_stopped_quorate_member_is_defragmented() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = start(folder.path(), 1);
    let url = cluster.client_urls()[0].clone();
    write(&url, 0, 60);
    says(&["--endpoints", &url, "compaction", "50"]);
    let hash = live_hash(&url);
    let dir = folder.path().join("m1");
    let link = folder.path().join("etcdutl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_quoratectl"), &link).unwrap();
    let defrag = |timeout: &str| {
        let mut command = Command::new(&link);
        command.args(["defrag", "--timeout", timeout, "--data-dir"]).arg(&dir).output().unwrap()
    };
    let refused = defrag("200ms");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text.contains("in use: stop the server"), "{text}");
    cluster.members[0].process.stop(LIMIT).unwrap();
    let done = defrag("10s");
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}");
    assert!(text.contains("finished defragmenting directory"), "{text}");
    cluster.members[0].process.start().unwrap();
    cluster.members[0].process.wait_ready(LIMIT).unwrap();
    assert_eq!(live_hash(&url), hash);
}

/// Quorate's own directory needs no migration, and that is said rather than tried.
#[test]
fn a_quorate_directory_is_not_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = start(folder.path(), 1);
    cluster.members[0].process.stop(LIMIT).unwrap();
    let dir = folder.path().join("m1");
    let output = ctl(&["migrate", "--data-dir", dir.to_str().unwrap(), "--target-version", "3.6"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("needs no migration"), "{text}");
}
