//! The client against real etcd 3.7.1: the calls, failover, watches over restarts, and no write done twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod member;

use member::{Member, free_port};
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::{
    Client, ClientError, Config, Credentials, EtcdError, Patience, Tls, WatchOptions, http_get,
};
use std::time::Duration;

fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..Default::default()
    }
}

/// Kills and restarts a member beside the runtime, so that the client sees its connection close as it would in life.
async fn restart(mut member: Member) -> Member {
    let restarted = tokio::task::spawn_blocking(move || {
        member.kill();
        member.run();
        member
    });
    restarted.await.unwrap()
}

async fn connect<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Client {
    Client::connect(Config::new(endpoints)).await.unwrap()
}

/// Every service answers through its sub-client, and errors keep the server's text.
#[tokio::test]
async fn services_answer() {
    let member = Member::start();
    let client = connect([member.endpoint()]).await;
    client.kv().put(put("a", "1")).await.unwrap();
    assert_eq!(&client.kv().get("a").await.unwrap().kvs[0].value[..], b"1");
    assert_eq!(client.maintenance().status().await.unwrap().version, "3.7.1");
    assert_eq!(client.cluster().member_list().await.unwrap().members.len(), 1);
    let lease = client.lease().grant(60, 0).await.unwrap().id;
    assert_eq!(client.lease().keep_alive_once(lease).await.unwrap().ttl, 60);
    assert_eq!(client.lease().list().await.unwrap().leases.len(), 1);
    client.lease().revoke(lease).await.unwrap();
    let gone = client.lease().keep_alive_once(lease).await.unwrap_err();
    assert_eq!(gone.etcd(), Some(EtcdError::LeaseNotFound));
    assert!(!client.auth().status().await.unwrap().enabled);
    let lock = client.lock().lock("l", 0).await.unwrap();
    client.lock().unlock(lock.key).await.unwrap();
    let error = client.kv().put(put("", "")).await.unwrap_err();
    assert_eq!(error.etcd(), Some(EtcdError::EmptyKey));
    assert_eq!(error.message(), "etcdserver: key is not provided");
    assert!(!error.is_retryable() && !error.is_outcome_unknown());
}

/// When the endpoint in use dies, reads and writes go on at the next one.
#[tokio::test]
async fn fails_over_to_the_next_endpoint() {
    let (mut first, second) = (Member::start(), Member::start());
    let client = connect([first.endpoint(), second.endpoint()]).await;
    client.kv().put(put("who", "first")).await.unwrap();
    second_put(&second).await;
    tokio::task::spawn_blocking(move || first.kill()).await.unwrap();
    let answer = client.kv().get("who").await.unwrap();
    assert_eq!(&answer.kvs[0].value[..], b"second");
    client.kv().put(put("w", "1")).await.unwrap();
    assert_eq!(client.current_endpoint(), second.endpoint());
}

async fn second_put(member: &Member) {
    let client = connect([member.endpoint()]).await;
    client.kv().put(put("who", "second")).await.unwrap();
}

/// A cluster that is down is reported at once by default, and only after the time limit when asked to be patient.
#[tokio::test]
async fn unreachable_cluster_is_reported() {
    let endpoint = format!("127.0.0.1:{}", free_port());
    let client = connect([&endpoint]).await;
    let error = client.kv().put(put("a", "")).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(error.is_unavailable() && error.is_unsent() && !error.is_outcome_unknown());
    let config = Config {
        patience: Patience::UntilTimeout,
        request_timeout: Some(Duration::from_millis(300)),
        ..Config::new([&endpoint])
    };
    let error = Client::connect(config).await.unwrap().kv().get("a").await.unwrap_err();
    assert_eq!(error.message(), "context deadline exceeded");
    assert!(error.is_unavailable());
}

/// A watch goes on after its member was killed and restarted: every event once, in order.
#[tokio::test]
async fn watch_resumes_after_restart() {
    let member = Member::start();
    let client = connect([member.endpoint()]).await;
    let options = WatchOptions { key: "k".into(), ..Default::default() };
    let mut watcher = client.watch().start(options);
    assert!(watcher.next().await.unwrap().unwrap().created);
    for n in 0..5 {
        client.kv().put(put("k", &n.to_string())).await.unwrap();
    }
    let mut seen = Vec::new();
    collect(&mut watcher, &mut seen, 5).await;
    let _member = restart(member).await;
    for n in 5..10 {
        client.kv().put(put("k", &n.to_string())).await.unwrap();
    }
    collect(&mut watcher, &mut seen, 10).await;
    let expected: Vec<String> = (0..10).map(|n: u32| n.to_string()).collect();
    assert_eq!(seen, expected);
}

async fn collect(watcher: &mut quorate_client::Watcher, seen: &mut Vec<String>, count: usize) {
    while seen.len() < count {
        let message = tokio::time::timeout(Duration::from_secs(10), watcher.next());
        for event in message.await.unwrap().unwrap().unwrap().events {
            seen.push(String::from_utf8(event.kv.unwrap().value.to_vec()).unwrap());
        }
    }
}

/// A watch whose history has been compacted away ends with that error, and says from where to start.
#[tokio::test]
async fn compacted_watch_says_so() {
    let member = Member::start();
    let client = connect([member.endpoint()]).await;
    for n in 0..5 {
        client.kv().put(put("k", &n.to_string())).await.unwrap();
    }
    let request = pb::CompactionRequest { revision: 4, physical: true };
    client.kv().compact(request).await.unwrap();
    let options = WatchOptions { key: "k".into(), start_revision: 2, ..Default::default() };
    let mut watcher = client.watch().start(options);
    assert!(watcher.next().await.unwrap().unwrap().created);
    let error = watcher.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Compacted { compact_revision: 4 }), "{error:?}");
    assert!(watcher.next().await.is_none());
}

/// Writes whose member is killed under them are never done twice, whatever the client reports about them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_is_done_twice() {
    let mut member = Member::start();
    let client = connect([member.endpoint()]).await;
    client.kv().put(put("warm", "")).await.unwrap();
    let writers: Vec<_> = (0..50)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut results = Vec::new();
                for round in 0..200 {
                    let key = format!("w/{n}/{round}");
                    results.push((key.clone(), client.kv().put(put(&key, "x")).await));
                    if results.last().is_some_and(|(_, result)| result.is_err()) {
                        break;
                    }
                }
                results
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(150)).await;
    member.kill();
    let mut results = Vec::new();
    for writer in writers {
        results.extend(writer.await.unwrap());
    }
    member.run();
    let mut failed = 0;
    for (key, result) in results {
        let answer = client.kv().get(key.clone()).await.unwrap();
        match (&result, answer.kvs.first()) {
            (_, Some(kv)) if kv.version > 1 => panic!("{key} was written {} times", kv.version),
            (Err(error), Some(_)) => {
                assert!(error.is_outcome_unknown(), "{key}: {error:?}");
                failed += 1;
            }
            (Err(_), None) => failed += 1,
            // `--unsafe-no-fsync` loses nothing when only the process dies.
            (Ok(_), None) => panic!("{key} was acknowledged and is gone"),
            (Ok(_), Some(_)) => {}
        }
    }
    assert!(failed > 0, "the member died too late for this test to say anything");
}

/// The snapshot stream ends with a verified hash.
#[tokio::test]
async fn snapshot_is_verified() {
    let member = Member::start();
    let client = connect([member.endpoint()]).await;
    client.kv().put(put("a", "1")).await.unwrap();
    // The storage version is in the file some moments after the start.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let mut snapshot = client.maintenance().snapshot().await.unwrap();
        let mut bytes = 0;
        while let Some(chunk) = snapshot.next().await.unwrap() {
            bytes += chunk.len() as u64;
        }
        assert_eq!(snapshot.received(), bytes);
        assert_eq!(snapshot.sha256().unwrap().len(), 64);
        if snapshot.version() == "3.7.0" {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "version {:?}", snapshot.version());
    }
}

/// With a password the client gets its token by itself, and a new one when the server has forgotten it.
#[tokio::test]
async fn token_is_fetched_and_renewed() {
    let member = Member::start();
    let open = connect([member.endpoint()]).await;
    open.auth().user_add("root", Some("pw")).await.unwrap();
    open.auth().role_add("root").await.unwrap();
    open.auth().user_grant_role("root", "root").await.unwrap();
    open.auth().enable().await.unwrap();
    let refused = open.kv().put(put("a", "1")).await.unwrap_err();
    assert_eq!(refused.etcd(), Some(EtcdError::UserNameIsEmpty));
    let password = Credentials::Password { user: "root".to_owned(), password: "pw".to_owned() };
    let config = Config { credentials: Some(password), ..Config::new([member.endpoint()]) };
    let client = Client::connect(config).await.unwrap();
    client.kv().put(put("a", "1")).await.unwrap();
    // Simple tokens live in memory only: after a restart the old one is unknown.
    let member = restart(member).await;
    client.kv().put(put("a", "2")).await.unwrap();
    let wrong = Credentials::Password { user: "root".to_owned(), password: "no".to_owned() };
    let config = Config { credentials: Some(wrong), ..Config::new([member.endpoint()]) };
    let error = Client::connect(config).await.unwrap().kv().get("a").await.unwrap_err();
    assert_eq!(error.etcd(), Some(EtcdError::AuthFailed));
}

/// Over TLS a stranger's certificate is refused before anything is sent, unless the check was switched off.
#[tokio::test]
async fn tls_checks_the_certificate() {
    let member = Member::start_with_tls();
    let endpoint = format!("https://{}", member.endpoint());
    let strict = connect([&endpoint]).await;
    let error = strict.kv().put(put("a", "1")).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(error.message().contains("TLS handshake failed"), "{error}");
    let tls = Tls { skip_verify: true, ..Tls::default() };
    // Without a scheme, TLS is spoken because it is configured.
    let config = Config { tls: Some(tls), ..Config::new([member.endpoint()]) };
    let version = http_get(&config, &endpoint, "/version", Duration::from_secs(5)).await.unwrap();
    assert_eq!(version.status, 200);
    let client = Client::connect(config).await.unwrap();
    client.kv().put(put("a", "1")).await.unwrap();
}

/// A unix socket serves as well as a port.
#[tokio::test]
async fn unix_socket_serves() {
    let member = Member::start();
    let client = connect([format!("unix://{}", member.socket().display())]).await;
    client.kv().put(put("a", "1")).await.unwrap();
    assert_eq!(&client.kv().get("a").await.unwrap().kvs[0].value[..], b"1");
}

/// The HTTP helper reads what the dashboard reads.
#[tokio::test]
async fn http_helper_reads_metrics() {
    let member = Member::start();
    let config = Config::default();
    let second = Duration::from_secs(5);
    let version = http_get(&config, &member.endpoint(), "/version", second).await.unwrap();
    assert!(version.text().contains("\"etcdserver\":\"3.7.1\""));
    let metrics = http_get(&config, &member.endpoint(), "/metrics", second).await.unwrap();
    assert!(metrics.text().contains("etcd_server_has_leader 1"));
    assert_eq!(http_get(&config, &member.endpoint(), "/none", second).await.unwrap().status, 404);
}
