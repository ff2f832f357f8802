//! Which act moves which metric, on running members.

use super::raw::{ask, get, post, send};
use super::scrape::Scrape;
use std::path::Path;
use std::time::{Duration, Instant};
use testbed::{Cluster, Plan};

/// Time for what an act sets off in the background.
const PATIENCE: Duration = Duration::from_secs(60);

/// A metric, labels of it, and by how much it moves at least.
type Moves = (&'static str, &'static [(&'static str, &'static str)], f64);

fn start(folder: &Path, members: usize, extra: &[&str]) -> Cluster {
    let extra: Vec<String> = extra.iter().map(|flag| (*flag).to_owned()).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    Cluster::start(&Plan { program, members, folder, extra: &extra }).unwrap()
}

fn ok(url: &str, path: &str, body: &str) {
    let answer = ask(url, &post(path, body));
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
}

/// Does the act and waits until all that it should move has moved.
fn moved(url: &str, name: &str, act: impl FnOnce(), moves: &[Moves]) {
    let before = Scrape::of(url);
    act();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = Scrape::of(url);
        let behind: Vec<_> = moves
            .iter()
            .map(|(metric, labels, by)| {
                (metric, labels, by, now.value(metric, labels) - before.value(metric, labels))
            })
            .filter(|(_, _, by, moved)| *moved < **by)
            .collect();
        if behind.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{name} did not move {behind:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads and writes of keys, and what goes with them.
#[test]
fn keys_move_their_metrics() {
    const PUT: &[(&str, &str)] = &[("grpc_method", "Put")];
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path(), 1, &[]);
    let url = &cluster.members[0].client_url;
    let put = |n: usize| {
        for k in 0..n {
            let key = ["YQ==", "Yg==", "Yw=="][k % 3];
            ok(url, "/v3/kv/put", &format!(r#"{{"key":"{key}","value":"dmFsdWU="}}"#));
        }
    };
    moved(
        url,
        "put",
        || put(6),
        &[
            ("etcd_mvcc_put_total", &[], 6.0),
            ("etcd_debugging_mvcc_keys_total", &[], 3.0),
            ("etcd_debugging_mvcc_current_revision", &[], 6.0),
            ("etcd_debugging_mvcc_total_put_size_in_bytes", &[], 36.0),
            (
                "etcd_server_apply_duration_seconds_count",
                &[("op", "Put"), ("success", "true")],
                6.0,
            ),
            ("etcd_server_request_duration_seconds_count", &[("type", "Put")], 6.0),
            ("etcd_server_proposals_committed_total", &[], 6.0),
            ("etcd_server_proposals_applied_total", &[], 6.0),
            ("etcd_disk_wal_fsync_duration_seconds_count", &[], 1.0),
            ("etcd_disk_wal_write_duration_seconds_count", &[], 1.0),
            ("etcd_disk_wal_write_bytes_total", &[], 6.0 * 20.0),
            ("etcd_disk_backend_commit_duration_seconds_count", &[], 1.0),
            ("grpc_server_started_total", PUT, 6.0),
            ("grpc_server_handled_total", &[("grpc_method", "Put"), ("grpc_code", "OK")], 6.0),
            ("grpc_server_msg_received_total", PUT, 6.0),
            ("grpc_server_msg_sent_total", PUT, 6.0),
            ("etcd_network_client_grpc_received_bytes_total", &[], 60.0),
            ("etcd_network_client_grpc_sent_bytes_total", &[], 60.0),
            ("etcd_server_client_requests_total", &[("client_api_version", "unknown")], 6.0),
            ("promhttp_metric_handler_requests_total", &[("code", "200")], 1.0),
        ],
    );
    moved(
        url,
        "range",
        || ok(url, "/v3/kv/range", r#"{"key":"YQ=="}"#),
        &[
            ("etcd_mvcc_range_total", &[], 1.0),
            ("etcd_server_range_duration_seconds_count", &[("success", "true")], 1.0),
            ("etcd_server_request_duration_seconds_count", &[("type", "Range")], 1.0),
        ],
    );
    let future = post("/v3/kv/range", r#"{"key":"YQ==","revision":1000}"#);
    moved(
        url,
        "range of the future",
        || drop(ask(url, &future)),
        &[
            ("etcd_server_range_duration_seconds_count", &[("success", "false")], 1.0),
            ("etcd_server_request_duration_seconds_count", &[("success", "false")], 1.0),
            ("grpc_server_handled_total", &[("grpc_code", "OutOfRange")], 1.0),
        ],
    );
    let txn = r#"{"success":[{"request_put":{"key":"YQ=="}},{"request_range":{"key":"YQ=="}}]}"#;
    moved(
        url,
        "txn",
        || ok(url, "/v3/kv/txn", txn),
        &[
            ("etcd_mvcc_txn_total", &[], 1.0),
            ("etcd_server_apply_duration_seconds_count", &[("op", "Txn")], 1.0),
        ],
    );
    let read = r#"{"success":[{"request_range":{"key":"YQ=="}}]}"#;
    moved(
        url,
        "read-only txn",
        || ok(url, "/v3/kv/txn", read),
        &[("etcd_server_request_duration_seconds_count", &[("type", "ReadonlyTxn")], 1.0)],
    );
    moved(
        url,
        "delete",
        || ok(url, "/v3/kv/deleterange", r#"{"key":"Yw=="}"#),
        &[("etcd_mvcc_delete_total", &[], 1.0)],
    );
    moved(
        url,
        "compaction",
        || ok(url, "/v3/kv/compaction", r#"{"revision":7}"#),
        &[
            ("etcd_debugging_mvcc_compact_revision", &[], 1.0),
            ("etcd_debugging_mvcc_db_compaction_keys_total", &[], 1.0),
            ("etcd_debugging_mvcc_db_compaction_last", &[], 1.0),
            ("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count", &[], 1.0),
            ("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_count", &[], 1.0),
            ("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds_count", &[], 1.0),
        ],
    );
    let versioned = post("/v3/kv/range", "{}").header("Grpc-Metadata-Client-Api-Version", "3.9");
    moved(
        url,
        "client's version",
        || drop(ask(url, &versioned)),
        &[("etcd_server_client_requests_total", &[("client_api_version", "3.9")], 1.0)],
    );
}

/// Leases, watches, snapshots, hashes, users, health and alarms.
#[test]
fn everything_else_moves_its_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path(), 1, &[]);
    let url = &cluster.members[0].client_url;
    moved(
        url,
        "grant",
        || ok(url, "/v3/lease/grant", r#"{"TTL":600,"ID":7}"#),
        &[
            ("etcd_debugging_lease_granted_total", &[], 1.0),
            ("etcd_debugging_lease_ttl_total_sum", &[], 600.0),
        ],
    );
    moved(
        url,
        "renew",
        || ok(url, "/v3/lease/keepalive", r#"{"ID":7}"#),
        &[
            ("etcd_debugging_lease_renewed_total", &[], 1.0),
            ("grpc_server_msg_received_total", &[("grpc_method", "LeaseKeepAlive")], 1.0),
        ],
    );
    moved(
        url,
        "revoke",
        || ok(url, "/v3/lease/revoke", r#"{"ID":7}"#),
        &[("etcd_debugging_lease_revoked_total", &[], 1.0)],
    );
    moved(
        url,
        "expiry",
        || ok(url, "/v3/lease/grant", r#"{"TTL":1,"ID":8}"#),
        &[("etcd_debugging_server_lease_expired_total", &[], 1.0)],
    );
    let mut watch = None;
    let create = post("/v3/watch", r#"{"create_request":{"key":"YQ=="}}"#);
    moved(
        url,
        "watch",
        || watch = Some(send(url, &create)),
        &[
            ("etcd_debugging_mvcc_watcher_total", &[], 1.0),
            ("etcd_debugging_mvcc_watch_stream_total", &[], 1.0),
            (
                "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds_count",
                &[],
                1.0,
            ),
        ],
    );
    moved(
        url,
        "event",
        || ok(url, "/v3/kv/put", r#"{"key":"YQ=="}"#),
        &[
            ("etcd_debugging_mvcc_events_total", &[], 1.0),
            ("etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds_count", &[], 1.0),
            (
                "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds_count",
                &[],
                1.0,
            ),
        ],
    );
    moved(
        url,
        "end of a watch",
        || drop(watch.take()),
        &[
            ("etcd_debugging_mvcc_watcher_total", &[], -1.0),
            (
                "grpc_server_handled_total",
                &[("grpc_method", "Watch"), ("grpc_code", "Canceled")],
                1.0,
            ),
        ],
    );
    for (name, path, metric) in [
        ("snapshot", "snapshot", "etcd_disk_backend_snapshot_duration_seconds_count"),
        ("defragment", "defragment", "etcd_disk_backend_defrag_duration_seconds_count"),
        ("hash", "hash", "etcd_mvcc_hash_duration_seconds_count"),
        ("hash kv", "hashkv", "etcd_mvcc_hash_rev_duration_seconds_count"),
    ] {
        let path = format!("/v3/maintenance/{path}");
        moved(url, name, || ok(url, &path, "{}"), &[(metric, &[], 1.0)]);
    }
    moved(
        url,
        "role",
        || ok(url, "/v3/auth/role/add", r#"{"name":"r"}"#),
        &[
            ("etcd_debugging_auth_revision", &[], 1.0),
            ("etcd_server_apply_duration_seconds_count", &[("op", "AuthRoleAdd")], 1.0),
        ],
    );
    let promote = post("/v3/cluster/member/promote", r#"{"ID":1}"#);
    moved(
        url,
        "health",
        || drop(ask(url, &get("/health"))),
        &[("etcd_server_health_success", &[], 1.0)],
    );
    moved(
        url,
        "readyz",
        || drop(ask(url, &get("/readyz"))),
        &[
            ("etcd_server_healthcheck", &[("type", "readyz"), ("name", "linearizable_read")], 1.0),
            ("etcd_server_healthchecks_total", &[("type", "readyz"), ("status", "success")], 4.0),
        ],
    );
    moved(
        url,
        "promotion of nobody",
        || drop(ask(url, &promote)),
        &[("etcd_server_learner_promote_failures", &[], 1.0)],
    );
    moved(
        url,
        "alarm",
        || ok(url, "/v3/maintenance/alarm", r#"{"action":1,"alarm":2}"#),
        &[("etcd_debugging_server_alarms", &[("alarm_type", "CORRUPT")], 1.0)],
    );
    moved(
        url,
        "bad health",
        || drop(ask(url, &get("/health"))),
        &[("etcd_server_health_failures", &[], 1.0)],
    );
    // As with etcd it is 0 afterwards, and not gone.
    ok(url, "/v3/maintenance/alarm", r#"{"action":2,"alarm":2}"#);
    let page = ask(url, &get("/metrics")).body;
    let alarms: Vec<&str> =
        page.lines().filter(|line| line.starts_with("etcd_debugging_server_alarms{")).collect();
    assert!(matches!(&alarms[..], [one] if one.ends_with(" 0")), "{alarms:?}");
}

/// What only members among each other can move: traffic, leadership, and a snapshot to one that was away for long.
#[test]
fn peers_move_their_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--snapshot-count=10", "--snapshot-catchup-entries=5"];
    let mut cluster = start(folder.path(), 3, &flags);
    let urls = cluster.client_urls();
    let leads = |url: &str| Scrape::of(url).value("etcd_server_is_leader", &[]) == 1.0;
    let deadline = Instant::now() + PATIENCE;
    let leader = loop {
        if let Some(leader) = urls.iter().position(|url| leads(url)) {
            break leader;
        }
        assert!(Instant::now() < deadline, "no leader");
    };
    let away = (leader + 1) % 3;
    let put = |url: &str, n: usize| {
        for _ in 0..n {
            ok(url, "/v3/kv/put", r#"{"key":"YQ==","value":"dmFsdWU="}"#);
        }
    };
    moved(
        &urls[leader],
        "traffic of the leader",
        || put(&urls[leader], 5),
        &[
            ("etcd_network_peer_sent_bytes_total", &[], 100.0),
            ("etcd_network_peer_received_bytes_total", &[], 100.0),
            ("etcd_network_peer_round_trip_time_seconds_count", &[], 2.0),
        ],
    );
    moved(
        &urls[away],
        "traffic of a follower",
        || put(&urls[leader], 5),
        &[
            ("etcd_network_peer_received_bytes_total", &[], 100.0),
            ("etcd_network_peer_round_trip_time_seconds_count", &[], 2.0),
        ],
    );
    let scrape = Scrape::of(&urls[leader]);
    assert_eq!(scrape.value("etcd_network_known_peers", &[]), 3.0);
    assert_eq!(scrape.value("etcd_network_active_peers", &[]), 2.0);
    let stop = || {
        cluster.members[away].process.stop(PATIENCE).unwrap();
    };
    moved(
        &urls[leader],
        "a member that goes",
        stop,
        &[
            ("etcd_network_disconnected_peers_total", &[], 1.0),
            ("etcd_network_peer_sent_failures_total", &[], 1.0),
            ("etcd_network_active_peers", &[], -1.0),
        ],
    );
    // Enough for the log to be purged below what the absent member has, once the state is flushed.
    let segments = || {
        put(&urls[leader], 60);
        std::thread::sleep(Duration::from_millis(300));
        put(&urls[leader], 60);
        cluster.members[away].process.start().unwrap();
        cluster.members[away].process.wait_ready(PATIENCE).unwrap();
    };
    moved(
        &urls[leader],
        "a snapshot that goes",
        segments,
        &[
            ("etcd_network_snapshot_send_success", &[], 1.0),
            ("etcd_network_snapshot_send_total_duration_seconds_count", &[], 1.0),
        ],
    );
    let scrape = Scrape::of(&urls[away]);
    for name in [
        "etcd_network_snapshot_receive_success",
        "etcd_network_snapshot_receive_total_duration_seconds_count",
        "etcd_snap_db_save_total_duration_seconds_count",
        "etcd_snap_db_fsync_duration_seconds_count",
    ] {
        assert!(scrape.value(name, &[]) >= 1.0, "{name}");
    }
    assert_eq!(scrape.value("etcd_network_snapshot_receive_inflights_total", &[]), 0.0);
    let other = Scrape::of(&urls[(leader + 2) % 3]);
    let id = other.kinds.get("etcd_server_id").map(|kind| kind.kind.as_str());
    assert_eq!(id, Some("gauge"));
    let kill = || cluster.members[leader].process.kill().unwrap();
    moved(
        &urls[(leader + 2) % 3],
        "a leader that dies",
        kill,
        &[("etcd_server_leader_changes_seen_total", &[], 1.0)],
    );
}

/// Every apply that takes longer than the warning time is counted and told, without what it says.
#[test]
fn slow_applies_are_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path(), 1, &["--warning-apply-duration=1ns"]);
    let url = &cluster.members[0].client_url;
    let put = r#"{"key":"c2VjcmV0","value":"c2VjcmV0"}"#;
    moved(url, "put", || ok(url, "/v3/kv/put", put), &[("etcd_server_slow_apply_total", &[], 1.0)]);
    moved(
        url,
        "range",
        || ok(url, "/v3/kv/range", r#"{"key":"c2VjcmV0"}"#),
        &[("etcd_server_slow_apply_total", &[], 1.0)],
    );
    let log = std::fs::read_to_string(cluster.members[0].process.log.clone()).unwrap();
    assert!(log.contains("apply request took too long"));
    assert!(!log.contains("secret") && !log.contains("c2VjcmV0"));
}
