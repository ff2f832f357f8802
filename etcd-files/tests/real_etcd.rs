//! This crate against files of real etcd, and real etcd against files of this crate.

// A test that meets an error has failed; helpers around the tests are no different.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use quorate_etcd_files::bbolt::{Check, write_file};
use quorate_etcd_files::datadir::{
    DataDir, InitialCluster, RestoreOptions, Restored, Survivor, TailPolicy, create_log, restore,
};
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_etcd_files::snapfile::SnapshotFile;
use quorate_etcd_files::wal::{self, EntryReader, Reader, Replay};
use quorate_etcd_files::{Error, snap};
use quorate_proto::etcdserverpb::InternalRaftRequest;
use quorate_proto::raftpb;
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::{Etcd, PEER_URL, run};

const VERSIONS: [&str; 3] = ["3.4.23", "3.5.1", "3.7.1"];
/// The release whose offline tool reads the files of all others.
const NEWEST: &str = "3.7.1";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// History of every kind: overwritten, deleted, made again, compacted in the middle, leased.
fn fill(etcd: &Etcd) {
    for round in 0..3 {
        for key in 0..12 {
            etcd.put(&format!("k{key}"), &format!("round {round} {}", "v".repeat(key * 200)));
        }
        etcd.ctl(&["del", "k3"]);
        etcd.ctl(&["del", "k7", "k9"]);
        if round == 1 {
            // On the tombstone of a range: the revision at which releases differ in what they keep.
            let status = json(&etcd.ctl(&["get", "k0", "-w", "json"]));
            let revision = status["header"]["revision"].to_string();
            etcd.ctl(&["compact", "--physical", &revision]);
        }
    }
    let lease = etcd.ctl(&["lease", "grant", "3600"]);
    let lease = lease.split(' ').nth(1).unwrap();
    etcd.ctl(&["put", "leased", "x", &format!("--lease={lease}")]);
}

/// Snapshot status, total keys by both rules, and HashKV are the numbers that etcd's own tools give.
#[test]
fn hashes_agree_with_every_release() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let etcd = Etcd::start(version, &temp.path().join("data"), &[]);
        fill(&etcd);
        let path = temp.path().join("snapshot");
        let text = path.to_str().unwrap();
        etcd.ctl(&["snapshot", "save", text]);
        let snapshot = SnapshotFile::open(&path).unwrap();
        snapshot.verify_digest().unwrap();
        let status = snapshot.status().unwrap();

        let theirs = json(&run(NEWEST, "etcdutl", &["snapshot", "status", text, "-w", "json"]));
        assert_eq!(theirs["hash"], status.hash, "{version}");
        assert_eq!(theirs["revision"], status.revision, "{version}");
        assert_eq!(theirs["totalKey"], status.live_keys, "{version}");
        assert_eq!(theirs["totalSize"], status.size, "{version}");
        assert_eq!(theirs["version"].as_str().unwrap_or_default(), status.version, "{version}");
        let old = json(&run("3.5.1", "etcdutl", &["snapshot", "status", text, "-w", "json"]));
        assert_eq!(old["totalKey"], status.rows, "{version}");

        // At every revision above the compacted one, and below it the refusal. At the compacted one itself a server
        // refuses (up to 3.5) or answers from memory with the compact revision before (3.7).
        let compacted = snapshot.hash_kv(0).unwrap().compact_revision;
        for revision in 0..=status.revision {
            let revision_text = revision.to_string();
            match snapshot.hash_kv(revision) {
                Ok(_) if revision == compacted => {}
                Ok(ours) => {
                    let args = ["endpoint", "hashkv", "--rev", &revision_text, "-w", "json"];
                    let theirs = json(&etcd.ctl(&args))[0]["HashKV"].clone();
                    assert_eq!(theirs["hash"], ours.hash, "{version} at {revision}");
                    assert_eq!(theirs["compact_revision"], ours.compact_revision, "{version}");
                }
                Err(error) => {
                    assert_eq!(error.to_string(), "mvcc: required revision has been compacted");
                    assert!(revision > 0 && revision < compacted, "{version} at {revision}");
                }
            }
        }
        let at_compacted = snapshot.hash_kv(compacted).unwrap().hash;
        let rev = compacted.to_string();
        let theirs = json(&run(NEWEST, "etcdutl", &["hashkv", text, "--rev", &rev, "-w", "json"]));
        assert_eq!(theirs["hash"], at_compacted, "{version} at the compacted {compacted}");
    }
}

/// A rewrite of a snapshot by our writer is, to etcd's tools, the same snapshot in fewer pages.
#[test]
fn a_rewritten_snapshot_is_accepted() {
    let temp = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(NEWEST, &temp.path().join("data"), &[]);
    fill(&etcd);
    let path = temp.path().join("snapshot");
    etcd.ctl(&["snapshot", "save", path.to_str().unwrap()]);
    let source = SnapshotFile::open(&path).unwrap();
    let copy = temp.path().join("copy");
    let file = std::fs::File::create(&copy).unwrap();
    write_file(&file, &copy, |image| {
        for (name, bucket) in source.database()?.buckets()? {
            image.begin_bucket(std::str::from_utf8(&name).unwrap()).unwrap();
            for row in bucket.rows()? {
                let (key, value) = row?;
                image.push(&key, &value).unwrap();
            }
        }
        Ok(())
    })
    .unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    std::fs::write(&copy, bytes).unwrap();

    for tool in ["3.5.1", NEWEST] {
        let status = |path: &Path| {
            json(&run(
                tool,
                "etcdutl",
                &["snapshot", "status", path.to_str().unwrap(), "-w", "json"],
            ))
        };
        let (before, after) = (status(&path), status(&copy));
        assert_eq!(before["hash"], after["hash"]);
        assert_eq!(before["totalKey"], after["totalKey"]);
        assert!(after["totalSize"].as_u64() < before["totalSize"].as_u64());
    }
    let target = temp.path().join("restored");
    let (text, target) = (copy.to_str().unwrap(), target.to_str().unwrap());
    run(NEWEST, "etcdutl", &["snapshot", "restore", text, "--data-dir", target]);
    // Last, because this command writes to the file it reads.
    let hash = |path: &Path| run(NEWEST, "etcdutl", &["hashkv", path.to_str().unwrap()]);
    assert_eq!(hash(&path), hash(&copy));
}

/// So that what is put is in the log only.
const NEVER_FLUSH: [&str; 4] =
    ["--backend-batch-interval", "1h", "--backend-batch-limit", "1000000"];

/// Every put that a running etcd acknowledged is in the log as we read it, live and after a kill, though not yet in
/// the database.
#[test]
fn the_log_of_etcd_is_read() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        let etcd = Etcd::start(version, &data, &NEVER_FLUSH);
        let dir = DataDir::new(&data, None);
        etcd.put("before", "1");
        let live = puts(&dir.wal());
        assert_eq!(live.last(), Some(&"before".to_owned()), "{version}");
        assert!(!dir.is_idle().unwrap(), "{version}");
        assert!(Survivor::open(&dir).unwrap_err().to_string().contains("stop the server"));
        etcd.put("after", "2");
        etcd.kill();

        let survivor = Survivor::open(&dir).unwrap();
        assert_eq!(survivor.database().check().unwrap(), Check::default());
        assert!(survivor.replay().repair.is_none());
        let pending: Vec<_> = survivor.pending(TailPolicy::KeepTail).map(Result::unwrap).collect();
        let last = pending.last().and_then(put_key);
        assert_eq!(last, Some("after".to_owned()), "{version}");
        assert_eq!(puts(&dir.wal()).last(), Some(&"after".to_owned()), "{version}");
    }
}

/// The log that etcd left is opened by our writer, and etcd goes on with it after us.
#[test]
fn etcd_goes_on_with_a_log_we_wrote_to() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        let etcd = Etcd::start(version, &data, &[]);
        etcd.put("before", "1");
        etcd.kill();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let dir = DataDir::new(&data, None).wal();
        let options = wal::Options { prepare_ahead: false, ..Default::default() };
        let (mut log, replay) = wal::Writer::open(disk, &dir, options).unwrap();
        let index = replay.last_index() + 1;
        let term = replay.hard_state.term();
        let put = InternalRaftRequest {
            header: None,
            id: 1,
            put: Some(quorate_proto::etcdserverpb::PutRequest {
                key: Bytes::from_static(b"ours"),
                value: Bytes::from_static(b"value"),
                ..Default::default()
            }),
            ..Default::default()
        };
        let put = put.encode_to_vec();
        log.append(&wal::EntryParts {
            term,
            index,
            data: &put,
            // Fields that etcd does not know must not disturb it.
            leader_member_id: Some(77),
            membership: Some(b"{}"),
            ..Default::default()
        });
        log.append_hard_state(&raftpb::HardState {
            commit: Some(index),
            vote_committed: Some(true),
            ..replay.hard_state
        });
        log.write().unwrap();
        log.sync().unwrap();
        drop(log);
        let etcd = Etcd::start(version, &data, &[]);
        assert_eq!(etcd.ctl(&["get", "ours", "--print-value-only"]).trim(), "value", "{version}");
        assert_eq!(etcd.ctl(&["get", "before", "--print-value-only"]).trim(), "1", "{version}");
    }
}

fn options(data: &Path) -> RestoreOptions {
    RestoreOptions {
        data_dir: DataDir::new(data, None),
        name: "m1".to_owned(),
        initial_cluster: InitialCluster::parse(&format!("m1={PEER_URL}")).unwrap(),
        initial_cluster_token: "etcd-cluster".to_owned(),
        peer_urls: vec![PEER_URL.to_owned()],
        skip_hash_check: false,
        bump_revision: None,
    }
}

fn snapshot_of(version: &'static str, temp: &Path) -> PathBuf {
    let etcd = Etcd::start(version, &temp.join("source"), &[]);
    fill(&etcd);
    let path = temp.join("snapshot");
    etcd.ctl(&["snapshot", "save", path.to_str().unwrap()]);
    path
}

/// What we restore, etcd of the same release boots with all its verifications on, and the data is there; with a bump
/// the revision jumps and what is before it is compacted.
#[test]
fn etcd_boots_what_we_restore() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let snapshot = snapshot_of(version, temp.path());
        let before = SnapshotFile::open(&snapshot).unwrap().hash_kv(0).unwrap();

        let plain = temp.path().join("plain");
        let Restored { revision, .. } = restore(&snapshot, &options(&plain)).unwrap();
        let etcd = Etcd::start(version, &plain, &[]);
        let rev = revision.to_string();
        let hash = json(&etcd.ctl(&["endpoint", "hashkv", "--rev", &rev, "-w", "json"]));
        assert_eq!(hash[0]["HashKV"]["hash"], before.hash, "{version}");
        assert_eq!(etcd.ctl(&["get", "k11", "--print-value-only"]).len(), 2209, "{version}");
        etcd.put("k0", "after");
        drop(etcd);

        let bumped = temp.path().join("bumped");
        // This one with its log elsewhere.
        let wal = temp.path().join("log").join("bumped");
        let with_bump = RestoreOptions {
            data_dir: DataDir::new(&bumped, Some(&wal)),
            bump_revision: Some(1_000_000),
            ..options(&bumped)
        };
        assert_eq!(restore(&snapshot, &with_bump).unwrap().revision, revision + 1_000_000);
        let etcd = Etcd::start(version, &bumped, &["--wal-dir", wal.to_str().unwrap()]);
        let answer = json(&etcd.ctl(&["put", "k0", "after", "-w", "json"]));
        assert_eq!(answer["header"]["revision"], revision + 1_000_001, "{version}");
        assert_eq!(etcd.ctl(&["get", "leased", "--print-value-only"]).trim(), "x", "{version}");
    }
}

/// Log and `.snap` file of a restore hold, record for record, what etcd's own restore writes.
#[test]
fn our_restore_is_etcds() {
    for version in ["3.5.1", "3.7.1"] {
        let temp = tempfile::tempdir().unwrap();
        let snapshot = snapshot_of(version, temp.path());
        let (ours, theirs) = (temp.path().join("ours"), temp.path().join("theirs"));
        let cluster = format!("m1={PEER_URL},m2=http://127.0.0.1:2381,m3=http://127.0.0.1:2382");
        let with_three = RestoreOptions {
            initial_cluster: InitialCluster::parse(&cluster).unwrap(),
            initial_cluster_token: "another".to_owned(),
            ..options(&ours)
        };
        restore(&snapshot, &with_three).unwrap();
        let (file, target) = (snapshot.to_str().unwrap(), theirs.to_str().unwrap());
        let args = [
            "snapshot",
            "restore",
            file,
            "--data-dir",
            target,
            "--name",
            "m1",
            "--initial-cluster",
            &cluster,
            "--initial-cluster-token",
            "another",
            "--initial-advertise-peer-urls",
            PEER_URL,
        ];
        run(version, "etcdutl", &args);
        let [ours, theirs] = [ours, theirs].map(|root| DataDir::new(&root, None));
        assert_eq!(records(&ours.wal()), records(&theirs.wal()), "{version}");
        let name = snap::file_name(1, 3);
        let [a, b] = [&ours, &theirs].map(|dir| snap::read(&dir.snap().join(&name)).unwrap());
        let [of_a, of_b] = [&a, &b].map(|snapshot| snapshot.metadata.clone().unwrap());
        let conf_states = [&of_a, &of_b].map(|m| m.conf_state.clone().map(with_explicit_flag));
        assert_eq!(conf_states[0], conf_states[1], "{version}");
        assert_eq!((of_a.index, of_a.term), (of_b.index, of_b.term), "{version}");
        assert!(members_of(&a) == members_of(&b), "{version}");
        for bucket in ["members", "members_removed", "cluster", "alarm", "key"] {
            let rows = |dir: &DataDir| {
                let database = quorate_etcd_files::bbolt::Database::open(&dir.database()).unwrap();
                let rows = database.bucket(bucket).unwrap().unwrap().rows().unwrap();
                rows.map(Result::unwrap).collect::<Vec<_>>()
            };
            assert_eq!(rows(&ours), rows(&theirs), "{version} {bucket}");
        }
    }
}

/// The log we make for a new member is one that etcd boots, without any database beside it.
#[test]
fn etcd_boots_a_fresh_log_of_ours() {
    for version in VERSIONS {
        let temp = tempfile::tempdir().unwrap();
        let data = DataDir::new(&temp.path().join("data"), None);
        std::fs::create_dir_all(data.snap()).unwrap();
        let urls = InitialCluster::parse(&format!("m1={PEER_URL}")).unwrap();
        let cluster = InitialCluster::new(&urls, "etcd-cluster").unwrap();
        let options = wal::Options { prepare_ahead: false, ..Default::default() };
        let id = cluster.members[0].id;
        create_log(Arc::new(OsDisk), &data.wal(), &cluster, id, false, options).unwrap();
        let etcd = Etcd::start(version, data.root(), &[]);
        etcd.put("a", "b");
        let members = json(&etcd.ctl(&["member", "list", "-w", "json"]));
        assert_eq!(members["members"][0]["ID"], id, "{version}");
        assert_eq!(members["header"]["cluster_id"], cluster.cluster_id, "{version}");
    }
}

/// Refusals in etcd's words, and nothing left behind.
#[test]
fn bad_snapshots_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let snapshot = snapshot_of(NEWEST, temp.path());
    let target = temp.path().join("target");
    let refusal = |path: &Path, options: &RestoreOptions| {
        let error = restore(path, options).unwrap_err();
        assert!(!target.exists(), "left behind after: {error}");
        error
    };
    let bytes = std::fs::read(&snapshot).unwrap();
    let other = temp.path().join("other");

    std::fs::write(&other, &bytes[..bytes.len() - 32]).unwrap();
    let error = refusal(&other, &options(&target));
    let text = error.to_string();
    assert!(text.starts_with("snapshot missing hash but --skip-hash-check=false, "), "{text}");

    let mut flipped = bytes.clone();
    flipped[20_000] ^= 1;
    std::fs::write(&other, &flipped).unwrap();
    let error = refusal(&other, &options(&target)).to_string();
    assert!(error.starts_with("expected sha256 ["), "{error}");

    std::fs::write(&other, &bytes[..40_960]).unwrap();
    let skipping = RestoreOptions { skip_hash_check: true, ..options(&target) };
    assert!(refusal(&other, &skipping).is_damaged());

    let unnamed = RestoreOptions { name: "x".to_owned(), ..options(&target) };
    assert_eq!(
        refusal(&snapshot, &unnamed).to_string(),
        "couldn't find local name \"x\" in the initial cluster configuration"
    );
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("file"), "").unwrap();
    let error = restore(&snapshot, &options(&target)).unwrap_err();
    assert!(matches!(error, Error::Refused(_)));
    assert_eq!(
        error.to_string(),
        format!("data-dir {:?} not empty or could not be read", target.to_str().unwrap())
    );
}

/// Paths and values of the members in a v2 store.
fn members_of(snapshot: &raftpb::Snapshot) -> Vec<(String, String)> {
    fn walk(node: &Value, found: &mut Vec<(String, String)>) {
        found.push((node["Path"].to_string(), node["Value"].to_string()));
        for child in node["Children"].as_object().into_iter().flatten() {
            walk(child.1, found);
        }
    }
    let store: Value = serde_json::from_slice(snapshot.data()).unwrap();
    let mut found = Vec::new();
    walk(&store["Root"], &mut found);
    assert!(found.len() > 8);
    found
}

fn records(wal: &Path) -> Vec<wal::Record> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let mut reader = Reader::open(&disk, wal).unwrap();
    let records = std::iter::from_fn(|| reader.next_record().unwrap());
    records.map(|(record, _)| with_explicit_zero(record)).collect()
}

/// Since 3.7 an etcd leaves a change's id out where it is 0, and a flag where it is unset.
fn with_explicit_zero(record: wal::Record) -> wal::Record {
    let entry = match record {
        wal::Record::Entry(entry) => entry,
        wal::Record::Snapshot(mut snapshot) => {
            snapshot.conf_state = snapshot.conf_state.map(with_explicit_flag);
            return wal::Record::Snapshot(snapshot);
        }
        other => return other,
    };
    let mut change = raftpb::ConfChange::decode(entry.data.clone().unwrap()).unwrap();
    change.id = Some(change.id());
    wal::Record::Entry(raftpb::Entry { data: Some(change.encode_to_vec().into()), ..entry })
}

fn with_explicit_flag(conf_state: raftpb::ConfState) -> raftpb::ConfState {
    raftpb::ConfState { auto_leave: Some(conf_state.auto_leave()), ..conf_state }
}

fn put_key(entry: &raftpb::Entry) -> Option<String> {
    if entry.r#type() != raftpb::EntryType::EntryNormal {
        return None;
    }
    // Up to 3.5 an etcd publishes itself by a request of its old API, which is another message.
    let request = InternalRaftRequest::decode(entry.data.clone()?).ok()?;
    request.put.map(|put| String::from_utf8(put.key.to_vec()).unwrap())
}

fn puts(wal: &Path) -> Vec<String> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let replay = Replay::read(&mut Reader::open(&disk, wal).unwrap()).unwrap();
    let entries = EntryReader::open(&disk, wal).unwrap().read_run(&replay.entries).unwrap();
    entries.iter().filter_map(put_key).collect()
}
