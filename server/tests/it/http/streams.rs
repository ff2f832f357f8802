//! Streams of the gateway over plain HTTP: flushed line by line, ended by either side.

use super::gateway::both;
use super::raw::{ask, headers_seen, mask, post, send};
use std::time::{Duration, Instant};

/// A watch tells history and news as etcd's does, each line as soon as it happened.
#[test]
fn watch_equals_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let seen = |url: &str| {
        let put = |body: &str| assert_eq!(ask(url, &post("/v3/kv/put", body)).status, 200);
        put(r#"{"key":"Zm9v","value":"MQ=="}"#);
        let create = r#"{"create_request":{"key":"Zm9v","start_revision":"1","prev_kv":true}}"#;
        let mut watch = send(url, &post("/v3/watch", create));
        let mut lines = vec![watch.status.to_string(), headers_seen(&watch.headers)];
        lines.extend(watch.lines(2));
        put(r#"{"key":"Zm9v","value":"Mg=="}"#);
        lines.extend(watch.lines(1));
        assert_eq!(ask(url, &post("/v3/kv/deleterange", r#"{"key":"Zm9v"}"#)).status, 200);
        lines.extend(watch.lines(1));
        mask(&lines.join("\n"))
    };
    assert_eq!(seen(&ours.members[0].client_url), seen(&etcd.members[0].client_url));
}

/// Watches that cannot be: of the compacted past, of an empty range, from below zero.
#[test]
fn refused_watches_equal_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let seen = |url: &str| {
        for value in ["MQ==", "Mg=="] {
            let put = format!(r#"{{"key":"Zm9v","value":"{value}"}}"#);
            assert_eq!(ask(url, &post("/v3/kv/put", &put)).status, 200);
        }
        let compact = post("/v3/kv/compaction", r#"{"revision":3}"#);
        assert_eq!(ask(url, &compact).status, 200);
        let mut lines = Vec::new();
        for (n, create) in [
            (2, r#"{"create_request":{"key":"Zm9v","start_revision":1}}"#),
            (1, r#"{"create_request":{"key":"Zm9v","range_end":"YQ=="}}"#),
            (1, r#"{"create_request":{"key":"Zm9v","start_revision":-1}}"#),
            (2, r#"{"create_request":{"key":"Zm9v"}} {"cancel_request":{}} "#),
        ] {
            lines.extend(send(url, &post("/v3/watch", create)).lines(n));
        }
        mask(&lines.join("\n"))
    };
    assert_eq!(seen(&ours.members[0].client_url), seen(&etcd.members[0].client_url));
}

/// A snapshot through the gateway is the snapshot: a bbolt file with its SHA-256 behind it.
#[test]
fn snapshot_is_whole() {
    use base64::Engine as _;
    use sha2::{Digest, Sha256};
    let folder = tempfile::tempdir().unwrap();
    let (ours, _etcd) = both(folder.path(), &[]);
    let url = &ours.members[0].client_url;
    let mut stream = send(url, &post("/v3/maintenance/snapshot", "{}"));
    let (mut text, mut file) = (String::new(), Vec::new());
    while let Some(chunk) = stream.chunk() {
        text.push_str(&chunk);
    }
    for line in text.lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["result"]["version"], "3.7.0");
        let blob = message["result"]["blob"].as_str().unwrap_or_default();
        file.extend(base64::engine::general_purpose::STANDARD.decode(blob).unwrap());
    }
    assert_eq!(file.len() % 512, 32);
    let (database, hash) = file.split_at(file.len() - 32);
    assert_eq!(Sha256::digest(database)[..], *hash);
}

/// A client that goes away in the middle of a watch takes its watcher with it.
#[test]
fn killed_clients_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, _etcd) = both(folder.path(), &[]);
    let url = &ours.members[0].client_url;
    let watchers = || {
        let text = ask(url, &super::raw::get("/metrics")).body;
        let line = text.lines().find(|line| line.starts_with("etcd_debugging_mvcc_watcher_total "));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let create = r#"{"create_request":{"key":"Zm9v"}}"#;
    let mut streams: Vec<_> = (0..8).map(|_| send(url, &post("/v3/watch", create))).collect();
    for stream in &mut streams {
        stream.lines(1);
    }
    assert_eq!(watchers(), "8");
    drop(streams);
    let deadline = Instant::now() + Duration::from_secs(60);
    while watchers() != "0" {
        assert!(Instant::now() < deadline, "watchers stay behind");
        std::thread::sleep(Duration::from_millis(20));
    }
}
