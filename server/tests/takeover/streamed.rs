//! A snapshot that is streamed while clients write: one moment of the state, however long the reader takes.

use std::collections::HashMap;
use std::path::Path;

use prost::Message as _;
use quorate_etcd_files::snapfile::SnapshotFile;
use quorate_proto::etcdserverpb::SnapshotRequest;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::mvccpb::KeyValue;

use super::ask;
use super::content::rows;
use super::load::Load;
use super::lone::Lone;
use super::stage::{READY_MAX, SERVER};

/// Keys of 16 KiB that are there before: more than the queues between the server and a client that does not read can hold.
const KEYS: usize = 600;
/// How often the reader lets the writers go on.
const PAUSES: usize = 5;

/// The file is sound, its HashKV is what the member answers for that revision, and it holds exactly the puts up to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_writes_is_one_moment() {
    let lone = Lone::new();
    let _process = lone.start(Path::new(SERVER));
    lone.put(KEYS).await;
    let urls = [lone.url.clone()];
    let load = Load::start(&urls, "load", None).await;
    load.more(50).await;

    let mut maintenance = MaintenanceClient::new(ask::channel(&lone.url, READY_MAX));
    let mut stream = maintenance.snapshot(SnapshotRequest::default()).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    let mut n = 0;
    while let Some(part) = stream.message().await.unwrap() {
        bytes.extend_from_slice(&part.blob);
        n += 1;
        if n <= PAUSES {
            load.more(50).await;
        }
    }
    let puts = load.stop().await;
    let path = lone.folder.path().join("streamed.db");
    std::fs::write(&path, bytes).unwrap();

    let file = SnapshotFile::open(&path).unwrap();
    file.verify_digest().unwrap();
    let database = file.database().unwrap();
    assert_eq!(database.check().unwrap().count, 0);
    let revision = file.status().unwrap().revision;
    let end = ask::same_revision(&urls, READY_MAX).await;
    assert!(end >= revision + 50 * PAUSES as i64, "writes went on: {revision}, then {end}");
    assert_eq!(ask::hashes(&urls, revision).await, [file.hash_kv(0).unwrap().hash]);

    let pairs = rows(&database, "key").into_iter().map(|(_, pair)| KeyValue::decode(pair).unwrap());
    let found: HashMap<_, _> = pairs.map(|pair| (pair.key.clone(), pair.mod_revision)).collect();
    for put in &puts {
        let wanted = (put.revision <= revision).then_some(&put.revision);
        assert_eq!(found.get(put.key.as_bytes()), wanted, "{put:?} at {revision}");
    }
}
