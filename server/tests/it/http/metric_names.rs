//! Names, types, labels and buckets of all metrics, beside real etcd 3.7.1 and beside the reference list.

use super::raw::{ask, post};
use super::scrape::Scrape;
use std::path::Path;
use testbed::{Cluster, Plan, Version, reference};

/// What must be there on one fresh member: names without labels, and those with labels that have a value at once
/// (`reference/etcd-api.md`, section 20).
const REFERENCE: &str = include_str!("metric_reference.txt");
/// What is absent, and why.
const PAPER: &str = include_str!("../../../../docs/metrics.md");

/// The names of the paper's first table; a star at the end stands for anything.
fn absent() -> Vec<String> {
    let table = PAPER.split("| absent | why |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

fn is_absent(absent: &[String], name: &str) -> bool {
    absent.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    })
}

fn start(program: &Path, folder: &Path, members: usize, extra: &[String]) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    Cluster::start(&Plan { program, members, folder, extra }).unwrap()
}

/// A little of everything that gives a labelled metric its first value.
fn use_it(cluster: &Cluster) -> Scrape {
    let mut all = Scrape::default();
    for member in &cluster.members {
        let url = &member.client_url;
        for (path, body) in [
            ("/v3/kv/put", r#"{"key":"Zm9v"}"#),
            ("/v3/kv/range", r#"{"key":"Zm9v"}"#),
            ("/v3/kv/range", r#"{"key":"Zm9v","revision":999}"#),
            ("/v3/kv/txn", r#"{"success":[{"request_range":{"key":"Zm9v"}}]}"#),
            ("/v3/kv/deleterange", r#"{"key":"Zm9v"}"#),
            ("/v3/lease/grant", r#"{"TTL":600}"#),
            ("/v3/cluster/member/promote", r#"{"ID":1}"#),
            ("/v3/maintenance/alarm", r#"{"action":1,"alarm":1}"#),
        ] {
            ask(url, &post(path, body));
        }
        for path in ["/health", "/livez", "/readyz"] {
            ask(url, &super::raw::get(path));
        }
        all.join(Scrape::of(url));
        // Every second scrape knows the first.
        all.join(Scrape::of(url));
    }
    all
}

/// Three members in use show what three members of etcd show, but for what the paper says is absent.
#[test]
fn names_types_labels_and_buckets_are_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let extra = ["--metrics=extensive".to_owned()];
    let quorate = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let ours = start(quorate, &folder.path().join("ours"), 3, &extra);
    let etcd = start(&reference(Version::V3_7_1, "etcd"), &folder.path().join("etcd"), 3, &extra);
    let (ours, etcd) = (use_it(&ours), use_it(&etcd));
    let absent = absent();
    let mut differences = Vec::new();
    for (name, kind) in &etcd.kinds {
        match (is_absent(&absent, name), ours.kinds.get(name)) {
            (true, None) => {}
            (true, Some(_)) => differences.push(format!("{name} is there, against the paper")),
            (false, None) => differences.push(format!("{name} is missing")),
            (false, Some(our)) if our != kind => {
                differences.push(format!("{name}:\n  etcd {kind:?}\n  ours {our:?}"));
            }
            _ => {}
        }
    }
    for pattern in &absent {
        let is_known = etcd.kinds.keys().any(|name| is_absent(std::slice::from_ref(pattern), name));
        // The only one that etcd shows after a failure alone.
        let is_rare = pattern == "etcd_network_server_stream_failures_total";
        if !is_known && !is_rare {
            differences.push(format!("{pattern} is in the paper and not in etcd"));
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}

/// One fresh member shows every name of the reference list that needs no event, with its type.
#[test]
fn a_fresh_member_shows_the_reference_list() {
    let folder = tempfile::tempdir().unwrap();
    let quorate = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let cluster = start(quorate, folder.path(), 1, &[]);
    let scrape = Scrape::of(&cluster.members[0].client_url);
    let absent = absent();
    let mut n = 0;
    for line in REFERENCE.lines().filter(|line| !line.starts_with('#')) {
        let (name, kind) = line.split_once(' ').unwrap();
        let found = scrape.kinds.get(name).map(|kind| kind.kind.as_str());
        if is_absent(&absent, name) {
            assert_eq!(found, None, "{name} is there, against the paper");
        } else {
            assert_eq!(found, Some(kind), "{name}");
            n += 1;
        }
    }
    assert!(n > 70, "only {n} names were compared");
    assert!(!scrape.kinds.contains_key("grpc_server_handling_seconds"), "not in basic mode");
}
