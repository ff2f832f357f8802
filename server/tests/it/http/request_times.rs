//! `etcd_server_request_duration_seconds` beside real etcd 3.7.1: which requests it measures, under which type, and what
//! counts as a success.

use super::gateway::both;
use super::raw::{ask, get, post};
use std::collections::BTreeMap;

const NAME: &str = "etcd_server_request_duration_seconds_count";

/// Requests of all kinds, good and refused.
const ASKED: &[(&str, &str)] = &[
    ("/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("/v3/kv/put", r#"{"value":"YmFy"}"#),
    ("/v3/kv/put", r#"{"key":"Zm9v","lease":"77"}"#),
    ("/v3/kv/range", r#"{"key":"Zm9v"}"#),
    ("/v3/kv/range", r#"{"key":"Zm9v","serializable":true}"#),
    ("/v3/kv/range", r#"{"key":"Zm9v","revision":"999"}"#),
    ("/v3/kv/range", "{}"),
    ("/v3/kv/txn", r#"{"success":[{"request_range":{"key":"Zm9v"}}]}"#),
    ("/v3/kv/txn", r#"{"success":[{"request_range":{"key":"Zm9v","revision":"999"}}]}"#),
    ("/v3/kv/txn", r#"{"success":[{"request_put":{"key":"Zm9v"}}]}"#),
    ("/v3/kv/txn", r#"{"success":[{"request_put":{"key":"Zm9v","lease":"77"}}]}"#),
    ("/v3/kv/txn", "{}"),
    ("/v3/kv/deleterange", r#"{"key":"Zm9v"}"#),
    ("/v3/kv/deleterange", "{}"),
    ("/v3/kv/compaction", r#"{"revision":"2"}"#),
    ("/v3/kv/compaction", r#"{"revision":"2"}"#),
    ("/v3/kv/compaction", r#"{"revision":"999"}"#),
    ("/v3/lease/grant", r#"{"TTL":600,"ID":7}"#),
    ("/v3/lease/grant", r#"{"TTL":600,"ID":7}"#),
    ("/v3/lease/keepalive", r#"{"ID":7}"#),
    ("/v3/lease/timetolive", r#"{"ID":7}"#),
    ("/v3/lease/leases", "{}"),
    ("/v3/lease/revoke", r#"{"ID":7}"#),
    ("/v3/lease/revoke", r#"{"ID":7}"#),
    ("/v3/cluster/member/list", "{}"),
    ("/v3/cluster/member/promote", r#"{"ID":1}"#),
    ("/v3/cluster/member/remove", r#"{"ID":1}"#),
    ("/v3/maintenance/status", "{}"),
    ("/v3/maintenance/alarm", r#"{"action":1,"alarm":1}"#),
    ("/v3/maintenance/alarm", r#"{"action":2,"alarm":1}"#),
    ("/v3/maintenance/hash", "{}"),
    ("/v3/maintenance/defragment", "{}"),
    ("/v3/auth/role/add", r#"{"name":"r"}"#),
    ("/v3/auth/role/add", r#"{"name":"r"}"#),
    ("/v3/auth/role/get", r#"{"role":"r"}"#),
    ("/v3/auth/role/list", "{}"),
    ("/v3/auth/user/add", r#"{"name":"u","password":"p"}"#),
    ("/v3/auth/user/get", r#"{"name":"u"}"#),
    ("/v3/auth/user/list", "{}"),
    ("/v3/auth/user/grant", r#"{"user":"u","role":"r"}"#),
    ("/v3/auth/user/revoke", r#"{"name":"u","role":"r"}"#),
    ("/v3/auth/user/changepw", r#"{"name":"u","password":"q"}"#),
    ("/v3/auth/user/delete", r#"{"name":"u"}"#),
    ("/v3/auth/role/delete", r#"{"role":"r"}"#),
    ("/v3/auth/enable", "{}"),
    ("/v3/auth/disable", "{}"),
    ("/v3/auth/status", "{}"),
    ("/v3/auth/authenticate", r#"{"name":"u","password":"p"}"#),
];

/// The series with their values.
fn series(url: &str) -> BTreeMap<String, f64> {
    let text = ask(url, &get("/metrics")).body;
    let lines = text.lines().filter(|line| line.starts_with(NAME));
    let values = lines.filter_map(|line| line.rsplit_once(' '));
    values.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// Each request moves the same series as in etcd.
#[test]
fn requests_are_measured_as_by_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &["--bcrypt-cost=4"]);
    let urls = [&ours, &etcd].map(|cluster| cluster.members[0].client_url.clone());
    let mut before = [series(&urls[0]), series(&urls[1])];
    let mut differences = Vec::new();
    for (path, body) in ASKED {
        let moved = [0_usize, 1].map(|n| {
            ask(&urls[n], &post(path, body));
            let now = series(&urls[n]);
            let was = std::mem::replace(&mut before[n], now.clone());
            let grown = now.into_iter().filter(|(series, value)| was.get(series) != Some(value));
            grown
                .map(|(series, value)| (value - was.get(&series).unwrap_or(&0.0), series))
                .collect()
        });
        let [our, their]: [Vec<(f64, String)>; 2] = moved;
        if our != their {
            differences.push(format!("{path} {body}\n  etcd {their:?}\n  ours {our:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
