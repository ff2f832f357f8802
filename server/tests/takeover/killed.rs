//! kill -9 of a loaded etcd, and what our reader of data directories saves: every write that was acknowledged.

use std::collections::HashMap;

use prost::Message as _;
use quorate_etcd_files::datadir::{DataDir, Survivor, TailPolicy};
use quorate_etcd_files::rescue::rescue;
use quorate_etcd_files::snapfile::SnapshotFile;
use quorate_proto::mvccpb::KeyValue;
use rand::Rng as _;
use testbed::{Version, reference};

use super::content::rows;
use super::load::Load;
use super::lone::Lone;
use super::three::rounds;

async fn killed(version: Version) {
    let lone = Lone::new();
    let mut etcd = lone.start(&reference(version, "etcd"));
    let load = Load::start(std::slice::from_ref(&lone.url), "load", None).await;
    load.more(rand::rng().random_range(50..400)).await;
    etcd.kill().unwrap();
    let puts = load.stop().await;

    let survivor = Survivor::open(&DataDir::new(&lone.data, None)).unwrap();
    let target = lone.folder.path().join("rescued");
    let rescued = rescue(&survivor, TailPolicy::KeepTail, &target).unwrap();
    let database = SnapshotFile::open(&target).unwrap().database().unwrap();
    let mut found = HashMap::new();
    for (_, value) in rows(&database, "key") {
        let kv = KeyValue::decode(value).unwrap();
        found.insert(kv.key.clone(), kv);
    }
    for put in &puts {
        let kv = found.get(put.key.as_bytes()).unwrap_or_else(|| panic!("lost: {put:?}"));
        assert_eq!((&kv.value[..], kv.mod_revision), (put.value.as_bytes(), put.revision));
    }
    println!("{}: {} acknowledged, {} from the log", version.name(), puts.len(), rescued.entries);
}

/// Every acknowledged put is among what is saved, of every release; a copy of the database alone would lose some.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_etcd_loses_nothing_to_our_reader() {
    for _ in 0..rounds() {
        for version in [Version::V3_7_1, Version::V3_5_1, Version::V3_4_23] {
            killed(version).await;
        }
    }
}
