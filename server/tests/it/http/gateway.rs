//! Every path of the gateway, asked as curl asks, answered as real etcd 3.7.1 answers: status, headers, body.

use super::raw::{Ask, ask, get, post};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use testbed::{Cluster, Plan, Version, reference};

type Table = Vec<(&'static str, Ask)>;

/// One member of each server, with the same flags.
pub fn both(folder: &Path, extra: &[&str]) -> (Cluster, Cluster) {
    let extra: Vec<String> = extra.iter().map(|flag| (*flag).to_owned()).collect();
    let start = |program: &Path, name: &str| {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Cluster::start(&Plan { program, members: 1, folder: &folder, extra: &extra }).unwrap()
    };
    let ours = start(Path::new(env!("CARGO_BIN_EXE_quorate-server")), "ours");
    (ours, start(&reference(Version::V3_7_1, "etcd"), "etcd"))
}

/// Asks both servers the same, in the same order, and tells every difference at once.
pub fn compare(ours: &str, etcds: &str, table: &Table) {
    let mut differences = Vec::new();
    for (name, request) in table {
        let (our, etcd) = (ask(ours, request).seen(), ask(etcds, request).seen());
        if our != etcd {
            differences.push(format!("{name}: {request:?}\n--- etcd\n{etcd}\n--- ours\n{our}\n"));
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}

fn kv() -> Table {
    vec![
        ("put", post("/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#)),
        ("put prev", post("/v3/kv/put", r#"{"key":"Zm9v","value":"+/8=","prev_kv":true}"#)),
        ("put camel case", post("/v3/kv/put", r#"{"key":"Zm8","value":"-_8","prevKv":true}"#)),
        ("put and more", post("/v3/kv/put", r#"{"key":"Zm9vMg=="} {"key":""}"#)),
        ("put unknown fields", post("/v3/kv/put", r#"{"key":"Zm9v","x":[1,{"y":"]"}],"z":null}"#)),
        ("put number forms", post("/v3/kv/put", r#"{"key":"Zm9v","lease":"1.0e2"}"#)),
        ("put big bare number", post("/v3/kv/put", r#"{"key":"YQ==","lease":9007199254740993}"#)),
        ("put nothing", post("/v3/kv/put", "")),
        ("put empty object", post("/v3/kv/put", "{}")),
        ("put blanks", post("/v3/kv/put", " \r\n\t")),
        ("range", post("/v3/kv/range", r#"{"key":"Zm9v"}"#)),
        ("range all", post("/v3/kv/range", r#"{"key":"AA==","range_end":"AA=="}"#)),
        (
            "range options",
            post(
                "/v3/kv/range",
                r#"{"key":"AA==","range_end":"AA==","limit":1,"sort_order":"DESCEND","sort_target":3,"keys_only":true}"#,
            ),
        ),
        ("range count", post("/v3/kv/range", r#"{"key":"Zm9v","countOnly":true}"#)),
        ("range missing", post("/v3/kv/range", r#"{"key":"bWlzc2luZw=="}"#)),
        ("range future", post("/v3/kv/range", r#"{"key":"Zm9v","revision":"999"}"#)),
        ("range enum by unknown name", post("/v3/kv/range", r#"{"key":"Zm9v","sort_order":"X"}"#)),
        ("range enum by unknown number", post("/v3/kv/range", r#"{"key":"Zm9v","sort_order":9}"#)),
        (
            "txn",
            post(
                "/v3/kv/txn",
                r#"{"compare":[{"target":"VERSION","result":"GREATER","key":"Zm9v","version":"0"}],
                   "success":[{"request_put":{"key":"dA==","value":"MQ=="}},{"requestRange":{"key":"Zm9v"}},
                   {"request_txn":{"success":[{"request_delete_range":{"key":"bm9uZQ=="}}]}}]}"#,
            ),
        ),
        ("txn of nothing", post("/v3/kv/txn", "{}")),
        (
            "txn fails over",
            post(
                "/v3/kv/txn",
                r#"{"compare":[{"target":2,"key":"Zm9v","mod_revision":0}],"failure":[{"request_range":{"key":"Zm9v"}}]}"#,
            ),
        ),
        (
            "txn two targets",
            post("/v3/kv/txn", r#"{"compare":[{"version":"0","key":"Zg==","mod_revision":3}]}"#),
        ),
        ("delete", post("/v3/kv/deleterange", r#"{"key":"Zm9vMg==","prev_kv":true}"#)),
        ("delete none", post("/v3/kv/deleterange", r#"{"key":"Zm9vMg=="}"#)),
        ("compact", post("/v3/kv/compaction", r#"{"revision":3}"#)),
        ("compact again", post("/v3/kv/compaction", r#"{"revision":3}"#)),
        ("range compacted", post("/v3/kv/range", r#"{"key":"Zm9v","revision":1}"#)),
    ]
}

fn leases() -> Table {
    vec![
        ("grant", post("/v3/lease/grant", r#"{"TTL":1000,"ID":7}"#)),
        ("grant again", post("/v3/lease/grant", r#"{"TTL":"1000","ID":"7"}"#)),
        ("grant too long", post("/v3/lease/grant", r#"{"TTL":9000000001}"#)),
        ("attach", post("/v3/kv/put", r#"{"key":"bA==","lease":7}"#)),
        ("leases", post("/v3/lease/leases", "")),
        ("leases, other path", post("/v3/kv/lease/leases", "{}")),
        ("keep alive", post("/v3/lease/keepalive", r#"{"ID":7}"#)),
        ("keep two alive", post("/v3/lease/keepalive", "{\"ID\":7}\n{\"ID\":\"8\"}")),
        ("keep nothing alive", post("/v3/lease/keepalive", "")),
        ("keep garbage alive", post("/v3/lease/keepalive", "{\"ID\":7}}")),
        ("revoke", post("/v3/kv/lease/revoke", r#"{"ID":"7"}"#)),
        ("revoke again", post("/v3/lease/revoke", r#"{"ID":"7"}"#)),
        ("time to live", post("/v3/lease/timetolive", r#"{"ID":"7","keys":true}"#)),
        ("time to live, other path", post("/v3/kv/lease/timetolive", r#"{"ID":"7"}"#)),
    ]
}

fn cluster_and_maintenance() -> Table {
    vec![
        ("remove unknown", post("/v3/cluster/member/remove", r#"{"ID":"12345"}"#)),
        ("promote unknown", post("/v3/cluster/member/promote", r#"{"ID":12345}"#)),
        (
            "update unknown",
            post("/v3/cluster/member/update", r#"{"ID":1,"peerURLs":["http://127.0.0.1:1"]}"#),
        ),
        (
            "add malformed",
            post("/v3/cluster/member/add", r#"{"peerURLs":["nope"],"isLearner":true}"#),
        ),
        ("add none", post("/v3/cluster/member/add", "{}")),
        ("alarms", post("/v3/maintenance/alarm", "{}")),
        ("status", post("/v3/maintenance/status", "{}")),
        ("hash", post("/v3/maintenance/hash", "{}")),
        ("hash kv", post("/v3/maintenance/hashkv", r#"{"revision":0}"#)),
        ("hash kv future", post("/v3/maintenance/hashkv", r#"{"revision":"1000"}"#)),
        ("defragment", post("/v3/maintenance/defragment", "{}")),
        ("transfer", post("/v3/maintenance/transfer-leadership", r#"{"targetID":"1"}"#)),
        ("downgrade", post("/v3/maintenance/downgrade", r#"{"action":"VALIDATE","version":"x"}"#)),
        ("downgrade cancel", post("/v3/maintenance/downgrade", r#"{"action":2}"#)),
    ]
}

/// Requests that are none, and what does not exist.
fn refusals() -> Table {
    let put = |body: &str| post("/v3/kv/put", body);
    let mut table = vec![
        ("cut off", put(r#"{"key":"Zm9v""#)),
        ("no JSON", put("key=Zm9v")),
        ("array", put("[]")),
        ("null", put("null")),
        ("string", put("\"x\"")),
        ("number", put(" 17")),
        ("number for bytes", put(r#"{"key":1}"#)),
        ("object for bytes", put(r#"{"key":{"a":1}}"#)),
        ("bad base64", put(r#"{"key":"***"}"#)),
        ("bad padding", put(r#"{"key":"Zm9vMg="}"#)),
        ("text for number", put("{\"key\":\"Zm9v\",\n\t\"lease\":\"abc\"}")),
        ("fraction", put(r#"{"key":"Zm9v","lease":1.5}"#)),
        ("too large number", put(r#"{"key":"Zm9v","lease":9223372036854775808}"#)),
        ("text for switch", put(r#"{"key":"Zm9v","prev_kv":"true"}"#)),
        ("twice", put(r#"{"key":"Zm9v","key":"Zm9v"}"#)),
        ("twice in both spellings", put(r#"{"key":"Zm9v","prev_kv":true,"prevKv":true}"#)),
        ("no list", post("/v3/kv/txn", r#"{"compare":{}}"#)),
        ("null in a list", post("/v3/kv/txn", r#"{"compare":[null]}"#)),
        ("half a pair", put(r#"{"key":"\ud83d"}"#)),
        ("missing comma", put(r#"{"key":"Zm9v" "lease":1}"#)),
        ("missing colon", put(r#"{"key" "Zm9v"}"#)),
        ("control character", put("{\"key\":\"\u{1}\"}")),
        ("bare word", put(r#"{"key":nul}"#)),
        ("umlaut", put("{\u{e4}:1}")),
        ("unknown path", post("/v3/nope", "{}")),
        ("no path", post("/v3/", "{}")),
        ("slash at the end", post("/v3/kv/put/", "{}")),
        ("gone prefix", post("/v3alpha/kv/put", "{}")),
        ("old prefix", post("/v3beta/kv/range", r#"{"key":"Zm9v"}"#)),
        ("range stream", post("/v3/kv/rangestream", "{}")),
        ("get", get("/v3/kv/put")),
        ("delete", get("/v3/kv/range").method("DELETE")),
        ("options", get("/v3/kv/put").method("OPTIONS")),
        ("folder", get("/v3")),
        ("double slash", post("//v3/kv/put", "{}")),
        ("bad time", put("{}").header("Grpc-Timeout", "zz")),
        ("no time", put(r#"{"key":"Zm9v"}"#).header("Grpc-Timeout", "0n")),
        ("some time", put(r#"{"key":"Zm9v"}"#).header("Grpc-Timeout", "30S")),
        ("useless token", put(r#"{"key":"Zm9v"}"#).header("Authorization", "nobody")),
        ("metadata", put(r#"{"key":"Zm9v"}"#).header("Grpc-Metadata-Hasleader", "true")),
    ];
    let large = "A".repeat(2_400_000);
    table.push((
        "larger than --max-request-bytes",
        put(&format!(r#"{{"key":"YQ==","value":"{large}"}}"#)),
    ));
    table
}

/// Status, headers and body equal real etcd's, path by path and for every kind of wrong request.
#[test]
fn answers_equal_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let (ours, etcd) = (&ours.members[0].client_url, &etcd.members[0].client_url);
    for table in [kv(), leases(), cluster_and_maintenance(), refusals()] {
        compare(ours, etcd, &table);
    }
    for hosts in ["", "Host: a\r\nHost: b\r\n"] {
        let head = format!("GET /version HTTP/1.1\r\n{hosts}\r\n");
        assert_eq!(said_to(ours, &head), said_to(etcd, &head), "{head:?}");
    }
}

/// The code that is said to a head as it is, and the body that the connection ends with.
fn said_to(url: &str, head: &str) -> (String, String) {
    let mut socket = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap_or_default().to_owned(), body.to_owned())
}

/// Without the gateway its paths are like any other that does not exist.
#[test]
fn gateway_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &["--enable-grpc-gateway=false"]);
    let table = vec![
        ("put", post("/v3/kv/put", "{}")),
        ("folder", get("/v3/")),
        ("version", get("/version")),
    ];
    compare(&ours.members[0].client_url, &etcd.members[0].client_url, &table);
}

/// A foreign host is refused with the way out of it, and only listed origins are told that they may read.
#[test]
fn foreign_pages_are_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--host-whitelist=good.example,127.0.0.1", "--cors=http://good.example:8080"];
    let (ours, etcd) = both(folder.path(), &flags);
    let with = |name: &'static str, value: &str| get("/version").header(name, value);
    let table = vec![
        ("own host", get("/version")),
        ("good host", with("Host", "good.example:2379")),
        ("foreign host", with("Host", "evil.example:2379")),
        ("foreign host, gateway", post("/v3/kv/range", "{}").header("Host", "evil.example")),
        ("good origin", with("Origin", "http://good.example:8080")),
        ("foreign origin", with("Origin", "http://evil.example:8080")),
        ("preflight", with("Origin", "http://good.example:8080").method("OPTIONS")),
        ("gateway", post("/v3/kv/range", "{}").header("Origin", "http://good.example:8080")),
    ];
    compare(&ours.members[0].client_url, &etcd.members[0].client_url, &table);
}
