//! What etcd's own dashboard and alert rules ask for (`etcd:contrib/mixin` of v3.7.1), asked of Quorate and of real etcd:
//! each metric is there with its type, the labels that an expression selects, groups or names by, and the values of
//! labels that it compares with.

use super::raw::{ask, post, send};
use super::scrape::Scrape;
use std::path::Path;
use std::time::{Duration, Instant};
use testbed::{Cluster, Plan, Version, reference};

/// A metric, its type, the labels that are asked for, and values that some of them must have.
type Wanted =
    (&'static str, &'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// Every metric of the mixin. `job`, `instance` and `up` are Prometheus' own.
const WANTED: &[Wanted] = &[
    ("etcd_server_has_leader", "gauge", &[], &[]),
    ("etcd_server_leader_changes_seen_total", "counter", &[], &[]),
    ("etcd_server_proposals_failed_total", "counter", &[], &[]),
    ("etcd_server_proposals_pending", "gauge", &[], &[]),
    ("etcd_server_proposals_committed_total", "gauge", &[], &[]),
    ("etcd_server_proposals_applied_total", "gauge", &[], &[]),
    ("etcd_server_quota_backend_bytes", "gauge", &[], &[]),
    ("etcd_mvcc_db_total_size_in_bytes", "gauge", &[], &[]),
    ("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", &[], &[]),
    ("etcd_disk_wal_fsync_duration_seconds", "histogram", &[], &[]),
    ("etcd_disk_backend_commit_duration_seconds", "histogram", &[], &[]),
    ("etcd_network_client_grpc_received_bytes_total", "counter", &[], &[]),
    ("etcd_network_client_grpc_sent_bytes_total", "counter", &[], &[]),
    ("etcd_network_peer_received_bytes_total", "counter", &["From"], &[]),
    ("etcd_network_peer_sent_bytes_total", "counter", &["To"], &[]),
    ("etcd_network_peer_sent_failures_total", "counter", &["To"], &[]),
    ("etcd_network_peer_round_trip_time_seconds", "histogram", &["To"], &[]),
    ("process_resident_memory_bytes", "gauge", &[], &[]),
    ("grpc_server_started_total", "counter", METHOD, &[("grpc_type", "unary")]),
    ("grpc_server_started_total", "counter", METHOD, WATCH),
    ("grpc_server_started_total", "counter", METHOD, LEASE),
    ("grpc_server_handled_total", "counter", CODED, &[("grpc_type", "unary")]),
    ("grpc_server_handled_total", "counter", CODED, &[("grpc_code", "FailedPrecondition")]),
    ("grpc_server_handled_total", "counter", CODED, WATCH),
    ("grpc_server_handled_total", "counter", CODED, LEASE),
    ("grpc_server_handling_seconds", "histogram", METHOD, &[]),
];
const METHOD: &[&str] = &["grpc_type", "grpc_service", "grpc_method"];
const CODED: &[&str] = &["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
const WATCH: &[(&str, &str)] =
    &[("grpc_service", "etcdserverpb.Watch"), ("grpc_type", "bidi_stream")];
const LEASE: &[(&str, &str)] =
    &[("grpc_service", "etcdserverpb.Lease"), ("grpc_type", "bidi_stream")];

/// What is missing in a scrape, in words.
fn missing(scrape: &Scrape) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, kind, labels, values) in WANTED {
        match scrape.kinds.get(*name) {
            None => missing.push(format!("{name} is missing")),
            Some(found) => {
                if found.kind != *kind {
                    missing.push(format!("{name} is a {}", found.kind));
                }
                for label in *labels {
                    if !found.labels.contains(*label) {
                        missing.push(format!("{name} has no {label}: {:?}", found.labels));
                    }
                }
                if !values.is_empty() && scrape.value(name, values) == 0.0 {
                    missing.push(format!("{name} counts nothing for {values:?}"));
                }
            }
        }
    }
    missing
}

/// Clusters whose members have been called, and one of which is gone, show all of it; so the dashboard has no empty panel
/// and no alert is silent for want of its metric.
#[test]
fn what_etcds_dashboard_and_alerts_ask_for_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let quorate = Path::new(env!("CARGO_BIN_EXE_quorate-server")).to_owned();
    for (kind, program) in [("ours", quorate), ("etcd", reference(Version::V3_7_1, "etcd"))] {
        let folder = folder.path().join(kind);
        std::fs::create_dir_all(&folder).unwrap();
        let extra = ["--metrics=extensive".to_owned()];
        let plan = Plan { program: &program, members: 3, folder: &folder, extra: &extra };
        let mut cluster = Cluster::start(&plan).unwrap();
        let url = cluster.members[0].client_url.clone();
        for (path, body) in [
            ("/v3/kv/put", r#"{"key":"Zm9v"}"#),
            // A stream that ends: what the panel of open streams takes away.
            ("/v3/lease/keepalive", r#"{"ID":1}"#),
            // FailedPrecondition: one of the codes that count as a failure.
            ("/v3/auth/enable", "{}"),
        ] {
            ask(&url, &post(path, body));
        }
        // One that its client leaves.
        drop(send(&url, &post("/v3/watch", r#"{"create_request":{"key":"Zm9v"}}"#)));
        cluster.members[2].process.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let missing = missing(&Scrape::of(&url));
            if missing.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "{kind}: {missing:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
