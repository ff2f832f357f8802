//! `restore` and `drill`: what was backed up boots again, in real etcd, the same to the byte.

use quorate_client::proto::etcdserverpb as pb;

use crate::support::{Agent, Cluster, QUORATE, S3Server, client, get_all, put_many, server_binary};

/// A restored directory boots real etcd with the same keys, mod revisions, revision and leases; the old member ids are
/// not in it; the drill agrees.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_directory_boots_the_same() {
    let cluster = Cluster::start("3.7.1", 1).await;
    let live = client(&cluster.endpoints()).await;
    put_many(&live, "k", 30, 50).await;
    let lease = live.lease().grant(3600, 77).await.expect("a lease").id;
    let attached =
        pb::PutRequest { key: "leased".into(), value: "v".into(), lease, ..Default::default() };
    live.kv().put(attached).await.expect("a put");
    let server = S3Server::start().await;
    let store = Agent::with_s3(&server, "b");
    let take = store.clone().with("--endpoints", &cluster.endpoints());
    let manifest = take.run(&["backup", "now", "--output", "json"]).await.ok().json();
    let before = get_all(&live).await;
    put_many(&live, "after", 3, 5).await;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("restored");
    let restore = store.clone().with("--data-dir", data_dir.to_str().expect("text"));
    let restore = restore
        .with("--name", "m1")
        .with("--initial-cluster", "m1=http://127.0.0.1:2380")
        .with("--initial-advertise-peer-urls", "http://127.0.0.1:2380");
    let restored = restore.run(&["restore", "latest", "--output", "json"]).await.ok().json();
    assert_ne!(restored["cluster_id"], manifest["cluster_id"]);
    assert_eq!(restored["hash_kv"], manifest["snapshot"]["hash_kv"]);
    // A directory that holds something is not touched.
    let again = restore.run(&["restore", "latest"]).await.fails(7);
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);

    let booted = Cluster::boot("3.7.1", &data_dir, "m1").await;
    let restored_client = client(&booted.endpoints()).await;
    assert_eq!(get_all(&restored_client).await, before);
    let left = restored_client.lease().time_to_live(77, true).await.expect("the lease");
    assert_eq!((left.granted_ttl, &left.keys[..]), (3600, &["leased".into()][..]));

    let binary = server_binary("3.7.1");
    let report = store
        .with("--server-binary", binary.to_str().expect("text"))
        .run(&["drill", "--output", "json"])
        .await
        .ok()
        .json();
    assert_eq!(report["hash_kv"], manifest["snapshot"]["hash_kv"]);
    assert_eq!(report["server_version"], "3.7.1");
}

/// A bumped restore starts above every revision a client may have seen, and an old watch is told that its history is
/// compacted.
#[tokio::test(flavor = "multi_thread")]
async fn a_bumped_restore_is_above_and_compacted() {
    let cluster = Cluster::start("3.5.1", 1).await;
    let revision = put_many(&client(&cluster.endpoints()).await, "k", 5, 5).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Agent::with_directory(&directory.path().join("store"));
    let take = store.clone().with("--endpoints", &cluster.endpoints());
    take.run(&["backup", "now"]).await.ok();
    let data_dir = directory.path().join("restored");
    let restored = store
        .with("--data-dir", data_dir.to_str().expect("text"))
        .with("--bump-revision", "1000")
        .run(&["restore", "latest", "--mark-compacted", "--output", "json"])
        .await
        .ok()
        .json();
    assert_eq!(restored["revision"], revision + 1000);

    let booted = Cluster::boot("3.5.1", &data_dir, "default").await;
    let restored_client = client(&booted.endpoints()).await;
    let (pairs, now) = get_all(&restored_client).await;
    assert_eq!((pairs.len(), now), (5, revision + 1000));
    let old = pb::RangeRequest { key: "k/00000".into(), revision, ..Default::default() };
    let error = restored_client.kv().range(old).await.expect_err("compacted");
    assert!(error.message().contains("compacted"), "{error}");
}

/// A backup of Quorate boots in real etcd, and one of real etcd boots in Quorate: the drill compares HashKV with either
/// server.
#[tokio::test(flavor = "multi_thread")]
async fn backups_go_both_ways() {
    for (from, into) in [(QUORATE, "3.7.1"), ("3.7.1", QUORATE)] {
        let cluster = Cluster::start(from, 1).await;
        put_many(&client(&cluster.endpoints()).await, "k", 25, 40).await;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Agent::with_directory(directory.path());
        let empty = store.run(&["list"]).await.ok();
        assert!(empty.stdout.contains("no backups in file://"), "{}", empty.stdout);
        let take = store.clone().with("--endpoints", &cluster.endpoints());
        let manifest = take.run(&["backup", "now", "--output", "json"]).await.ok().json();
        let young = store.run(&["check", "--max-age", "1h"]).await.ok();
        assert!(young.stdout.contains("newest backup"), "{}", young.stdout);
        store.run(&["check", "--max-age", "0s"]).await.fails(9);
        let binary = server_binary(into);
        let drill = store.with("--server-binary", binary.to_str().expect("text"));
        let report = drill.run(&["drill", "--output", "json"]).await.ok().json();
        assert_eq!(report["hash_kv"], manifest["snapshot"]["hash_kv"], "{from} into {into}");
        assert_eq!(report["revision"], manifest["snapshot"]["revision"]);
    }
}
