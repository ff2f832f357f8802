//! A restore with a raised revision against what etcdutl makes of the same file.

// A test that meets an error has failed; helpers around the tests are no different.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::datadir::{DataDir, InitialCluster, RestoreOptions, restore};
use support::{Etcd, PEER_URL, run};

const VERSION: &str = "3.7.1";

fn rows(dir: &DataDir, bucket: &str) -> Vec<(Bytes, Bytes)> {
    let database = Database::open(&dir.database()).unwrap();
    let rows = database.bucket(bucket).unwrap().unwrap().rows().unwrap();
    rows.map(Result::unwrap).collect()
}

/// `--bump-revision` and `--mark-compacted` leave the rows that etcdutl leaves, in every bucket.
#[test]
fn a_bump_is_etcdutls() {
    let temp = tempfile::tempdir().unwrap();
    let etcd = Etcd::start(VERSION, &temp.path().join("source"), &[]);
    for n in 0..30 {
        etcd.put(&format!("k{}", n % 7), &n.to_string());
    }
    etcd.ctl(&["del", "k3"]);
    etcd.ctl(&["compact", "--physical", "12"]);
    let snapshot = temp.path().join("snapshot");
    let file = snapshot.to_str().unwrap();
    etcd.ctl(&["snapshot", "save", file]);
    drop(etcd);

    let theirs = temp.path().join("theirs");
    let cluster = format!("m1={PEER_URL}");
    let (target, initial) = (theirs.to_str().unwrap(), format!("--initial-cluster={cluster}"));
    let peer = format!("--initial-advertise-peer-urls={PEER_URL}");
    let args = ["snapshot", "restore", file, "--data-dir", target, "--name=m1", &initial, &peer];
    let args = [&args[..], &["--bump-revision", "1000000", "--mark-compacted"]].concat();
    run(VERSION, "etcdutl", &args);
    let ours = temp.path().join("ours");
    let options = RestoreOptions {
        data_dir: DataDir::new(&ours, None),
        name: "m1".to_owned(),
        initial_cluster: InitialCluster::parse(&cluster).unwrap(),
        initial_cluster_token: "etcd-cluster".to_owned(),
        peer_urls: vec![PEER_URL.to_owned()],
        skip_hash_check: false,
        bump_revision: Some(1_000_000),
    };
    restore(&snapshot, &options).unwrap();

    let [ours, theirs] = [ours, theirs].map(|root| DataDir::new(&root, None));
    for bucket in quorate_etcd_files::rows::bucket::ALL {
        let [mut a, mut b] = [&ours, &theirs].map(|dir| rows(dir, bucket));
        // 3.7 leaves a flag of the configuration state out where it is unset.
        for rows in [&mut a, &mut b] {
            rows.retain(|(key, _)| key != "confState");
        }
        assert_eq!(a, b, "{bucket}");
    }
}
