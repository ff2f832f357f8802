//! Every path of the gateway called with the real curl, and the page of variables, beside real etcd 3.7.1. What is asked
//! is the least that each path takes; `gateway`, `streams` and `patroni` ask for more.

use super::gateway::both;
use super::raw::{MASKED, headers_seen};
use serde_json::Value;
use std::process::Command;

/// Fields that name what only one of the two clusters has.
const OWN: &[&str] = &["ID", "key", "lease", "name", "peerURLs", "clientURLs"];
/// Seconds after which curl leaves a stream that does not end by itself.
const STREAM_TIME: &str = "8";

/// Paths, as the server has them: none can be forgotten here.
fn paths() -> Vec<&'static str> {
    let lines = include_str!("../../../src/api/gateway/routes.rs").lines();
    let path = |line: &'static str| line.trim().strip_prefix("(\"")?.split('"').next();
    lines.filter_map(path).collect()
}

fn body(path: &str) -> &'static str {
    match path {
        "/v3/kv/put" => r#"{"key":"Zm9v","value":"YmFy"}"#,
        "/v3/kv/compaction" => r#"{"revision":"1"}"#,
        "/v3/kv/range" | "/v3/kv/deleterange" => r#"{"key":"Zm9v"}"#,
        "/v3/watch" => r#"{"create_request":{"key":"Zm9v","start_revision":"1"}}"#,
        "/v3/lease/grant" => r#"{"TTL":"600","ID":"7"}"#,
        "/v3/lease/timetolive" | "/v3/lease/revoke" | "/v3/lease/keepalive" => r#"{"ID":"7"}"#,
        "/v3/lock/lock" => r#"{"name":"bG9jaw=="}"#,
        "/v3/election/campaign" | "/v3/election/leader" | "/v3/election/observe" => {
            r#"{"name":"ZWxlY3Q=","value":"djE="}"#
        }
        "/v3/auth/user/add" => r#"{"name":"u","password":"p"}"#,
        "/v3/auth/role/add" | "/v3/auth/user/get" => r#"{"name":"u"}"#,
        _ => "{}",
    }
}

fn without_own(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_own = OWN.iter().chain(MASKED).any(|own| own == name);
                if is_own && !value.is_object() { *value = Value::Null } else { without_own(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_own),
        _ => {}
    }
}

/// Status, headers and body of an answer of curl's, without what is one cluster's own.
fn called(url: &str, path: &str, body: Option<&str>) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-i", "--max-time", STREAM_TIME]).arg(format!("{url}{path}"));
    if let Some(body) = body {
        curl.args(["-d", body]);
    }
    let output = curl.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {output:?}"));
    let (status, headers) = head.split_once("\r\n").unwrap();
    let headers: Vec<(String, String)> = headers
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    if path.ends_with("snapshot") {
        // The file itself is compared where it can be read.
        return format!("{status}\n{}\n{}", headers_seen(&headers), !body.is_empty());
    }
    // Go puts one of two kinds of space into these errors, at random.
    let body = body.replace("proto:\u{a0}", "proto: ");
    let lines = body.lines().map(|line| match serde_json::from_str::<Value>(line) {
        Ok(mut value) => {
            without_own(&mut value);
            value.to_string()
        }
        Err(_) => line.to_owned(),
    });
    let lines: Vec<String> = lines.collect();
    format!("{status}\n{}\n{}", headers_seen(&headers), lines.join("\n"))
}

/// Each of the gateway's paths, in the same order on both.
#[test]
fn every_path_answers_curl_as_etcd_does() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let all = |url: &str| -> Vec<String> {
        paths().into_iter().map(|path| called(url, path, Some(body(path)))).collect()
    };
    let (our, their) = std::thread::scope(|scope| {
        let our = scope.spawn(|| all(&ours.members[0].client_url));
        (all(&etcd.members[0].client_url), our.join().unwrap())
    });
    assert!(paths().len() > 50, "{:?}", paths());
    for ((path, our), their) in paths().iter().zip(&our).zip(&their) {
        println!("{path}: {}", their.replace('\n', " | "));
        assert_eq!(our, their, "{path}");
    }
}

/// `/debug/vars` has etcd's names and shapes, but for those of the Go runtime.
#[test]
fn variables_have_etcds_names() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let page = |url: &str| -> Value {
        let output = Command::new("curl").args(["-sS", &format!("{url}/debug/vars")]).output();
        serde_json::from_slice(&output.unwrap().stdout).unwrap()
    };
    let (our, mut their) = (page(&ours.members[0].client_url), page(&etcd.members[0].client_url));
    assert!(their.as_object_mut().unwrap().remove("memstats").is_some());
    let names = |value: &Value| -> Vec<(String, &'static str)> {
        let kind = |value: &Value| match value {
            Value::String(_) => "text",
            Value::Number(_) => "number",
            Value::Object(_) => "object",
            Value::Array(_) => "list",
            Value::Bool(_) | Value::Null => "other",
        };
        value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), kind(value))).collect()
    };
    assert_eq!(names(&our), names(&their));
    assert_eq!(names(&our["raft.status"]), names(&their["raft.status"]));
    assert_eq!(our["raft.status"]["raftState"], "StateLeader");
    assert_eq!(our["cmdline"][1], "--name=m1", "{}", our["cmdline"]);
}
