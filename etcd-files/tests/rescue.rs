//! A rescue of a dead etcd's data against what the same etcd says after a restart.

// A test that meets an error has failed; helpers around the tests are no different.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::datadir::{DataDir, RestoreOptions, Survivor, TailPolicy, restore};
use quorate_etcd_files::rescue::{affected_keys, rescue};
use quorate_etcd_files::snapfile::SnapshotFile;
use quorate_etcd_files::wal;
use quorate_proto::raftpb;
use support::{Etcd, PEER_URL, tool};

const VERSIONS: [&str; 3] = ["3.4.23", "3.5.1", "3.7.1"];
/// So that nearly all that happens is in the log only.
const NEVER_FLUSH: [&str; 4] =
    ["--backend-batch-interval", "1h", "--backend-batch-limit", "1000000"];

/// Feeds a transaction to `etcdctl txn`.
fn txn(etcd: &Etcd, version: &str, text: &str) {
    let mut child = tool(version, "etcdctl")
        .args(["--endpoints", &etcd.client_url, "txn"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
}

fn lease(etcd: &Etcd) -> String {
    etcd.ctl(&["lease", "grant", "7200"]).split(' ').nth(1).unwrap().to_owned()
}

/// One of everything that passes through the log in ordinary life.
fn live(etcd: &Etcd, version: &str) {
    for n in 0..8 {
        etcd.put(&format!("k{n}"), &format!("v{n}"));
    }
    // Early, because it makes the server flush.
    etcd.ctl(&["del", "k6"]);
    etcd.put("k6", "again");
    let header: serde_json::Value =
        serde_json::from_str(&etcd.ctl(&["get", "k0", "-w", "json"])).unwrap();
    let revision = header["header"]["revision"].as_i64().unwrap() - 1;
    etcd.ctl(&["compact", &revision.to_string()]);
    let (kept, revoked) = (lease(etcd), lease(etcd));
    etcd.ctl(&["put", "leased", "x", &format!("--lease={kept}")]);
    etcd.ctl(&["put", "k1", "now leased", &format!("--lease={revoked}")]);
    etcd.ctl(&["put", "k0", "now leased", &format!("--lease={revoked}")]);
    etcd.ctl(&["put", "k2", "leased and let go", &format!("--lease={revoked}")]);
    etcd.put("k2", "let go");
    etcd.ctl(&["put", "leased", "y", "--ignore-lease"]);
    etcd.ctl(&["put", "leased", "--ignore-value", &format!("--lease={kept}")]);
    etcd.ctl(&["lease", "revoke", &revoked]);
    etcd.ctl(&["del", "k3"]);
    etcd.put("k3", "again");
    etcd.ctl(&["del", "k5", "k7"]);
    etcd.ctl(&["del", "nothing"]);
    // Chosen by version, by value and by a missing key, with puts, deletes and reads in one.
    txn(
        etcd,
        version,
        "ver(\"k2\") = \"3\"\n\nput t1 \"a\"\ndel k4\nget k4\nput t2 \"b\"\n\nput no no\n\n",
    );
    txn(etcd, version, "val(\"absent\") = \"\"\n\nput no no\n\nput t3 c\n\n");
    txn(
        etcd,
        version,
        "create(\"absent\") = \"0\"\nmod(\"t1\") > \"5\"\n\ndel k6\nput t1 again\n\nput no no\n\n",
    );
    txn(etcd, version, "ver(\"t1\") > \"9\"\n\nput no no\n\n\n");
    etcd.put("after the compaction", "1");
}

fn rows(database: &Database, bucket: &str) -> Vec<(Bytes, Bytes)> {
    let bucket = database.bucket(bucket).unwrap().unwrap();
    bucket.rows().unwrap().map(Result::unwrap).collect()
}

/// What is rescued from the files is what the server itself makes of them at its next start: same HashKV at every
/// revision, same leases; and it can be restored.
#[test]
fn a_rescue_is_what_a_restart_gives() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        let etcd = Etcd::start(version, &data, &NEVER_FLUSH);
        live(&etcd, version);
        etcd.kill();

        let survivor = Survivor::open(&DataDir::new(&data, None)).unwrap();
        assert!(survivor.lost().is_none(), "{version}: a kill loses nothing");
        let target = temp.path().join("rescued");
        // What a rescue that broke off may have left, for everybody to read.
        let part = temp.path().join("rescued.part");
        std::fs::write(&part, "left over").unwrap();
        std::fs::set_permissions(&part, Permissions::from_mode(0o644)).unwrap();
        let rescued = rescue(&survivor, TailPolicy::KeepTail, &target).unwrap();
        assert!(rescued.entries >= 8, "{version}: {rescued:?}");
        let mode = target.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{version}: users, hashes and all keys are in it");
        drop(survivor);
        let ours = SnapshotFile::open(&target).unwrap();
        ours.verify_digest().unwrap();
        let status = ours.status().unwrap();
        assert_eq!(status.revision, rescued.revision, "{version}");

        let etcd = Etcd::start(version, &data, &[]);
        let snapshot = temp.path().join("snapshot");
        etcd.ctl(&["snapshot", "save", snapshot.to_str().unwrap()]);
        let theirs = SnapshotFile::open(&snapshot).unwrap().database().unwrap();
        assert_eq!(rows(&ours.database().unwrap(), "lease"), rows(&theirs, "lease"), "{version}");
        for back in 0..3 {
            let revision = (status.revision - back).to_string();
            let args = ["endpoint", "hashkv", "--rev", &revision, "-w", "json"];
            let answer: serde_json::Value = serde_json::from_str(&etcd.ctl(&args)).unwrap();
            // The resumed compaction has removed rows there that are still in the rescued file, marked.
            let ours = hash_after_compaction(&ours, status.revision - back);
            assert_eq!(answer[0]["HashKV"]["hash"], ours, "{version} at {revision}");
        }
        drop(etcd);

        let restored = temp.path().join("restored");
        restore(&target, &options(&restored)).unwrap();
        let etcd = Etcd::start(version, &restored, &[]);
        let value = etcd.ctl(&["get", "after the compaction", "--print-value-only"]);
        assert_eq!(value.trim(), "1", "{version}");
        assert_eq!(etcd.ctl(&["get", "no", "--print-value-only"]), "", "{version}");
    }
}

/// HashKV as of the compaction that the file has scheduled, which a server resumes when it starts.
fn hash_after_compaction(file: &SnapshotFile, revision: i64) -> u32 {
    use quorate_etcd_files::hash::{KvHasher, NewestRevisions};
    let database = file.database().unwrap();
    let marks = database.bucket("meta").unwrap().unwrap();
    let mark = marks.get(b"scheduledCompactRev").unwrap().unwrap();
    let compacted = quorate_etcd_files::rows::Revision::decode(&mark).unwrap().main;
    let mut newest = NewestRevisions::new(revision);
    for (key, value) in rows(&database, "key") {
        assert!(newest.push(&key, &value));
    }
    let mut hasher = KvHasher::new(revision, compacted, newest.keep_set(compacted));
    for (key, value) in rows(&database, "key") {
        assert!(hasher.push(&key, &value));
    }
    hasher.finish().hash
}

fn options(data: &Path) -> RestoreOptions {
    RestoreOptions {
        data_dir: DataDir::new(data, None),
        name: "m1".to_owned(),
        initial_cluster: [("m1".to_owned(), vec![PEER_URL.to_owned()])].into(),
        initial_cluster_token: "rescue".to_owned(),
        peer_urls: vec![PEER_URL.to_owned()],
        skip_hash_check: false,
        bump_revision: None,
    }
}

/// A sector of zeros in the middle of a real log is told from a torn tail, and what stands before it can still be read; so
/// is a log that ends before what the database holds.
#[test]
fn what_a_log_has_lost_is_told() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::new(&temp.path().join("data"), None);
        let etcd = Etcd::start(version, data.root(), &[]);
        for n in 0..20 {
            etcd.put(&format!("key{n}"), &"v".repeat(200));
        }
        // All that was applied goes to the disk with it.
        etcd.ctl(&["defrag"]);
        etcd.kill();
        let whole = Survivor::open(&data).unwrap();
        assert!(whole.lost().is_none(), "{version}: {:?}", whole.lost());
        let wal_dir = data.wal();
        let mut files = std::fs::read_dir(&wal_dir).unwrap().map(|entry| entry.unwrap().path());
        let segment = files.find(|path| path.extension().unwrap() == "wal").unwrap();
        let was = std::fs::read(&segment).unwrap();
        let used = was.iter().rposition(|byte| *byte != 0).unwrap();
        let sector = used / 2 / 512 * 512;

        let mut holed = was.clone();
        holed[sector..sector + 512].fill(0);
        std::fs::write(&segment, &holed).unwrap();
        let survivor = Survivor::open(&data).unwrap();
        let lost = survivor.lost().unwrap().to_string();
        assert!(lost.contains("not torn by a crash"), "{version}: {lost}");
        let (last, all) = (survivor.replay().last_index(), whole.replay().last_index());
        assert!(last + 3 < all, "{version}: {last} of {all} entries");
        rescue(&survivor, TailPolicy::KeepTail, &temp.path().join("rescued")).unwrap();
        let disk = std::sync::Arc::new(quorate_etcd_files::disk::OsDisk);
        let opened = wal::Writer::open(disk, &wal_dir, wal::Options::default()).map(|_| ());
        assert!(opened.unwrap_err().is_damaged(), "{version}");
        assert_eq!(std::fs::read(&segment).unwrap(), holed, "{version}: nothing is repaired");

        std::fs::write(&segment, &was[..sector]).unwrap();
        let lost = Survivor::open(&data).unwrap().lost().unwrap().to_string();
        assert!(lost.contains("the database holds what was applied up to entry"), "{lost}");
    }
}

/// Entries behind the commit index are kept or left out as asked for, and can be shown beforehand.
#[test]
fn the_tail_is_the_operators_choice() {
    let version = "3.7.1";
    let temp = tempfile::tempdir().unwrap();
    let data = DataDir::new(&temp.path().join("data"), None);
    let etcd = Etcd::start(version, data.root(), &NEVER_FLUSH);
    etcd.put("committed", "1");
    etcd.put("acknowledged by a dead leader", "2");
    etcd.kill();
    let last = Survivor::open(&data).unwrap().replay().last_index();
    set_commit_index(&data, last - 1);

    let survivor = Survivor::open(&data).unwrap();
    assert_eq!(survivor.tail_len(), 1);
    let tail: Vec<_> = survivor.tail().map(Result::unwrap).collect();
    assert_eq!(affected_keys(&tail[0])[0].key, "acknowledged by a dead leader");
    for (policy, keys) in [(TailPolicy::CommittedOnly, 1), (TailPolicy::KeepTail, 2)] {
        let target = temp.path().join(format!("{policy:?}"));
        rescue(&survivor, policy, &target).unwrap();
        assert_eq!(SnapshotFile::open(&target).unwrap().status().unwrap().live_keys, keys);
    }
}

/// With authentication on etcd decides when it applies an entry whether its user may; so do we.
#[test]
fn rights_are_judged_as_etcd_judges_them() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        let etcd = Etcd::start(version, &data, &NEVER_FLUSH);
        for setup in [
            "user add root:secret",
            "user grant-role root root",
            "role add part",
            "role grant-permission part write a c",
            "role grant-permission part readwrite c e",
            "user add u:p",
            "user grant-role u part",
            "user add gone:p",
            "user delete gone",
            "role add more",
            "role grant-permission more read k",
            "user grant-role u more",
            "role delete more",
        ] {
            etcd.ctl(&setup.split(' ').collect::<Vec<_>>());
        }
        etcd.ctl(&["auth", "enable"]);
        etcd.ctl(&["--user", "root:secret", "put", "z", "root's"]);
        let lease = etcd.ctl(&["--user", "root:secret", "lease", "grant", "7200"]);
        let lease = format!("--lease={}", lease.split(' ').nth(1).unwrap());
        etcd.ctl(&["--user", "root:secret", "put", "on the lease", "root's", &lease]);
        for (args, is_allowed) in [
            (&["put", "a", "1"][..], true),
            (&["put", "f", "1"], false),
            (&["put", "a", "2", "--prev-kv"], false),
            (&["put", "d", "2", "--prev-kv"], true),
            (&["put", "b", "3", &lease], false),
            (&["del", "a", "e"], true),
            (&["del", "a", "z"], false),
            (&["put", "c", "4"], true),
            (&["del", "z"], false),
        ] {
            let all = [&["--user", "u:p"], args].concat();
            assert_eq!(etcd.try_ctl(&all), is_allowed, "{version} {args:?}");
        }
        etcd.kill();

        let survivor = Survivor::open(&DataDir::new(&data, None)).unwrap();
        let target = temp.path().join("rescued");
        let rescued = rescue(&survivor, TailPolicy::KeepTail, &target).unwrap();
        assert!(rescued.refused.len() >= 5, "{version}: {rescued:?}");
        let etcd = Etcd::start_with_auth(version, &data, "root:secret");
        let args = ["--user", "root:secret", "endpoint", "hashkv", "-w", "json"];
        let answer: serde_json::Value = serde_json::from_str(&etcd.ctl(&args)).unwrap();
        let ours = SnapshotFile::open(&target).unwrap().hash_kv(0).unwrap();
        assert_eq!(answer[0]["HashKV"]["header"]["revision"], ours.hash_revision, "{version}");
        assert_eq!(answer[0]["HashKV"]["hash"], ours.hash, "{version}");
        let snapshot = temp.path().join("snapshot");
        let args = ["--user", "root:secret", "snapshot", "save", snapshot.to_str().unwrap()];
        etcd.ctl(&args);
        let [ours, theirs] =
            [&target, &snapshot].map(|path| SnapshotFile::open(path).unwrap().database().unwrap());
        for bucket in ["auth", "authUsers", "authRoles", "lease"] {
            assert_eq!(rows(&ours, bucket), rows(&theirs, bucket), "{version} {bucket}");
        }
    }
}

/// Appends a hard state, as a follower's log stands that has not yet heard of the last commit.
fn set_commit_index(data: &DataDir, commit: u64) {
    let options = wal::Options { prepare_ahead: false, ..Default::default() };
    let disk = std::sync::Arc::new(quorate_etcd_files::disk::OsDisk);
    let (mut log, replay) = wal::Writer::open(disk, &data.wal(), options).unwrap();
    log.append_hard_state(&raftpb::HardState { commit: Some(commit), ..replay.hard_state });
    log.write().unwrap();
}
