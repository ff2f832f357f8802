//! `backup now`, `list`, `verify`, `prune` against real etcd, into a directory and into S3.

use crate::support::{Agent, Cluster, Fault, S3Server, client, put_many, tool};

/// A backup of a three-member cluster comes from a follower, is confirmed by the other members, verifies, and real
/// etcdutl reads the same hash and revision from the stored file.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_from_a_follower_and_confirmed() {
    let cluster = Cluster::start("3.7.1", 3).await;
    let revision = put_many(&client(&cluster.endpoints()).await, "k", 20, 100).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Agent::with_directory(directory.path());
    let agent = store.clone().with("--endpoints", &cluster.endpoints());

    let manifest =
        agent.run(&["backup", "now", "--verify", "full", "--output", "json"]).await.ok().json();
    assert_eq!(manifest["snapshot"]["revision"], revision);
    assert_eq!(manifest["snapshot"]["total_keys"], 20);
    assert_eq!(manifest["source"]["is_leader"], false);
    assert_eq!(manifest["source"]["server_version"], "3.7.1");
    assert_eq!(manifest["proof"]["verdict"], "confirmed");
    assert_eq!(manifest["proof"]["answers"].as_array().expect("answers").len(), 2);
    assert_eq!(manifest["members"].as_array().expect("members").len(), 3);

    let file = directory.path().join(manifest["snapshot"]["object"].as_str().expect("a name"));
    let status = std::process::Command::new(tool("3.7.1", "etcdutl"))
        .args(["snapshot", "status", "--write-out=json"])
        .arg(&file)
        .output()
        .expect("etcdutl runs");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status["hash"], manifest["snapshot"]["status_hash"]);
    assert_eq!(status["revision"], manifest["snapshot"]["revision"]);
    assert_eq!(status["totalKey"], manifest["snapshot"]["total_keys"]);

    let listed = store.run(&["list", "--output", "json"]).await.ok().json();
    assert_eq!(listed["backups"][0]["id"], manifest["id"]);
    store.run(&["verify", "latest"]).await.ok();
    let table = store.run(&["list"]).await.ok().stdout;
    assert!(table.contains("confirmed") && table.starts_with("ID"), "{table}");
}

/// A member that has compacted since the snapshot's member is still comparable, and a compacted store's hash is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_store_is_confirmed_too() {
    let cluster = Cluster::start("3.5.1", 3).await;
    let client = client(&cluster.endpoints()).await;
    let revision = put_many(&client, "k", 12, 10).await;
    put_many(&client, "k", 6, 10).await;
    let compact =
        quorate_client::proto::etcdserverpb::CompactionRequest { revision, physical: true };
    client.kv().compact(compact).await.expect("a compaction");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let agent = Agent::with_directory(directory.path()).with("--endpoints", &cluster.endpoints());
    let manifest = agent.run(&["backup", "now", "--output", "json"]).await.ok().json();
    assert_eq!(manifest["snapshot"]["compact_revision"], revision);
    assert_eq!(manifest["proof"]["verdict"], "confirmed", "{manifest}");
}

/// The same into S3, large enough for several parts, with the keys from files and from the environment.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_backup_goes_to_s3_in_parts() {
    let cluster = Cluster::start("3.7.1", 1).await;
    put_many(&client(&cluster.endpoints()).await, "k", 40, 1_000_000).await;
    let server = S3Server::start().await;
    let agent = Agent::with_s3(&server, "prod/etcd");
    let take = agent.clone().with("--endpoints", &cluster.endpoints());

    let manifest = take.run(&["backup", "now", "--output", "json"]).await.ok().json();
    assert!(manifest["snapshot"]["size_bytes"].as_u64().expect("a size") > 2 * (16 << 20));
    assert_eq!(manifest["proof"]["verdict"], "unconfirmed");
    agent.run(&["verify", manifest["id"].as_str().expect("an id")]).await.ok();

    let keys = tempfile::tempdir().expect("a temporary directory");
    let (id_file, secret_file) = server.key_files(keys.path());
    let by_file = Agent::default()
        .with("--store", &server.store("prod/etcd"))
        .with("--s3-endpoint", &server.url)
        .with("--s3-access-key-id-file", id_file.to_str().expect("text"))
        .with("--s3-secret-access-key-file", secret_file.to_str().expect("text"));
    let listed = by_file.run(&["list", "--output", "json"]).await.ok().json();
    assert_eq!(listed["backups"].as_array().expect("backups").len(), 1);
}

/// An object that was changed in the store is detected by `verify`, whichever byte it is; a missing one by `list`.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrupted_object_is_detected() {
    let cluster = Cluster::start("3.7.1", 1).await;
    put_many(&client(&cluster.endpoints()).await, "k", 5, 10).await;
    let server = S3Server::start().await;
    let agent = Agent::with_s3(&server, "b");
    let take = agent.clone().with("--endpoints", &cluster.endpoints());
    let manifest = take.run(&["backup", "now", "--output", "json"]).await.ok().json();
    let id = manifest["id"].as_str().expect("an id");
    let object = manifest["snapshot"]["object"].as_str().expect("a name");

    let path = server.object_path(&format!("b/{object}"));
    let mut bytes = std::fs::read(&path).expect("the object");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    let ran = agent.run(&["verify", id]).await.fails(3);
    assert!(ran.stderr.contains("hint:") && ran.stderr.contains("damaged"), "{}", ran.stderr);

    std::fs::remove_file(&path).expect("removed");
    let listed = agent.run(&["list", "--output", "json"]).await.ok().json();
    assert_eq!(listed["backups"].as_array().expect("backups").len(), 0);
    assert!(listed["damaged"][0]["reason"].as_str().expect("a reason").contains("missing"));
    agent.run(&["verify", "latest"]).await.fails(4);
}

/// An upload that is refused half-way leaves nothing that counts, and the next run is whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_does_not_count() {
    let cluster = Cluster::start("3.7.1", 1).await;
    put_many(&client(&cluster.endpoints()).await, "k", 40, 1_000_000).await;
    let server = S3Server::start().await;
    let agent = Agent::with_s3(&server, "b").with("--log-level", "error");
    let take = agent.clone().with("--endpoints", &cluster.endpoints());

    server.set_fault(Fault::WritesRefused);
    let ran = take.run(&["backup", "now"]).await.fails(6);
    assert!(ran.stderr.contains("403"), "{}", ran.stderr);
    server.set_fault(Fault::None);
    let listed = agent.run(&["list", "--output", "json"]).await.ok().json();
    assert_eq!(listed["backups"].as_array().expect("backups").len(), 0, "{listed}");
    assert_eq!(listed["unfinished"].as_array().expect("objects").len(), 0, "{listed}");

    take.run(&["backup", "now"]).await.ok();
    agent.run(&["verify", "latest"]).await.ok();
}

/// A run killed before its manifest leaves an unfinished snapshot that no command takes for a backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_without_manifest_does_not_count() {
    let cluster = Cluster::start("3.7.1", 1).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let agent = Agent::with_directory(directory.path());
    let take = agent.clone().with("--endpoints", &cluster.endpoints());
    let manifest = take.run(&["backup", "now", "--output", "json"]).await.ok().json();
    let name = manifest["snapshot"]["object"].as_str().expect("a name");
    let manifest_name = name.replace(".snapshot.db", ".manifest.json");
    std::fs::remove_file(directory.path().join(manifest_name)).expect("removed");

    let listed = agent.run(&["list", "--output", "json"]).await.ok().json();
    assert_eq!(listed["backups"].as_array().expect("backups").len(), 0);
    assert_eq!(listed["unfinished"][0], name);
    // It may still be uploading, so a prune leaves it for a day.
    agent.run(&["prune", "--keep-last", "1"]).await.ok();
    assert!(directory.path().join(name).exists());
}

/// `prune --dry-run` explains and deletes nothing; `prune` deletes exactly what the plan says.
#[tokio::test(flavor = "multi_thread")]
async fn prune_explains_then_deletes() {
    let cluster = Cluster::start("3.4.23", 1).await;
    let server = S3Server::start().await;
    let agent = Agent::with_s3(&server, "b");
    let take = agent.clone().with("--endpoints", &cluster.endpoints());
    let mut ids = Vec::new();
    for _ in 0..3 {
        let manifest = take.run(&["backup", "now", "--output", "json"]).await.ok().json();
        ids.push(manifest["id"].as_str().expect("an id").to_owned());
    }
    let dry = agent.run(&["prune", "--keep-last", "2", "--dry-run"]).await.ok().stdout;
    assert!(dry.contains("dry run") && dry.contains("one of the last"), "{dry}");
    assert_eq!(dry.lines().filter(|line| line.starts_with("delete")).count(), 1, "{dry}");

    let done = agent.run(&["prune", "--keep-last", "2", "--output", "json"]).await.ok().json();
    assert_eq!(done["done"]["n_backups"], 1);
    let listed = agent.run(&["list", "--output", "json"]).await.ok().json();
    let left: Vec<_> =
        listed["backups"].as_array().expect("backups").iter().map(|b| &b["id"]).collect();
    assert_eq!(left, [&ids[1], &ids[2]]);
    agent.run(&["prune"]).await.fails(7);
}

/// Wrong words end with a code and a hint, before anything is done.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_ends_with_a_hint() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let agent = Agent::with_directory(directory.path());
    let ran = agent
        .run(&["backup", "now", "--endpoints", "http://127.0.0.1:1", "--dial-timeout", "1"])
        .await;
    assert!(ran.fails(5).stderr.contains("hint:"));
    assert!(
        Agent::default()
            .run(&["list", "--store", "ftp://x"])
            .await
            .fails(2)
            .stderr
            .contains("s3://")
    );
    agent.run(&["verify", "20261121T085857Z-7-0123abcd"]).await.fails(4);
    agent.run(&["run", "--schedule", "whenever"]).await.fails(2);
}
