//! Users in files: an etcd's snapshot restored here and ours there, both with authentication working, and rows equal.

use super::pair::{NOBODY, Pair, add_user, add_user_without_password, auth, grant};
use crate::wire::{AuthCall, Call, Wire};
use AuthCall::{Enable, GrantRole, RoleAdd, Status};
use prost::Message;
use quorate_etcd_files::bbolt::Database;
use quorate_proto::authpb;
use quorate_proto::authpb::permission::Type::{Read, Readwrite, Write};
use quorate_proto::etcdserverpb as pb;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testbed::{Process, Version, free_ports, reference};

async fn save(wire: &Wire, file: &Path) {
    let request = wire.request(pb::SnapshotRequest {});
    let mut stream = wire.maintenance().snapshot(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        bytes.extend_from_slice(&message.blob);
    }
    std::fs::write(file, bytes).unwrap();
}

/// A server restored from a snapshot file, running.
struct Restored {
    _process: Process,
    url: String,
}

fn restore(mut tool: Command, server: &Path, folder: &Path, file: &Path) -> Restored {
    let ports = free_ports(2).unwrap();
    let (url, peer) =
        (format!("http://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1]));
    let data_dir = folder.join("restored");
    tool.arg(file).arg(format!("--data-dir={}", data_dir.display()));
    tool.args(["--name=m", &format!("--initial-cluster=m={peer}")]);
    tool.arg(format!("--initial-advertise-peer-urls={peer}"));
    let output = tool.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arguments = [
        "--name=m".to_owned(),
        format!("--data-dir={}", data_dir.display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=m={peer}"),
        "--bcrypt-cost=4".to_owned(),
    ];
    let mut process = Process::new("restored", folder, server, &arguments);
    process.start().unwrap();
    process.wait_ready(Duration::from_secs(60)).unwrap();
    Restored { _process: process, url }
}

/// Everything must be as it was saved: who may log in, and who may do what.
async fn check(restored: &Restored) {
    let wire = Wire::connect(&restored.url).await;
    let status = wire.call(Call::Auth(Status)).await;
    assert!(status.contains("enabled: true, auth_revision: 13"), "{status}");
    assert!(wire.login("u", "wrong").await.is_err());
    let user = wire.with_token(&wire.login("u", "pw").await.unwrap());
    let put =
        |key: &'static str| Call::Put(pb::PutRequest { key: key.into(), ..Default::default() });
    let get =
        |key: &'static str| Call::Range(pb::RangeRequest { key: key.into(), ..Default::default() });
    for (call, is_allowed) in
        [(put("a"), true), (get("b"), false), (get("k"), true), (put("k"), false), (put("z"), true)]
    {
        let answer = user.call(call.clone()).await;
        assert_eq!(answer.contains("header"), is_allowed, "{call:?}: {answer}");
    }
    let root = wire.with_token(&wire.login("root", "rootpw").await.unwrap());
    assert!(root.call(add_user("late", "pw")).await.contains("header"));
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn rows(file: &Path, bucket: &str) -> Rows {
    let database = Database::open(file).unwrap();
    let bucket = database.bucket(bucket).unwrap().unwrap();
    let row = |row: Result<(bytes::Bytes, bytes::Bytes), _>| {
        let (key, value) = row.ok().unwrap();
        (key.to_vec(), value.to_vec())
    };
    bucket.rows().unwrap().map(row).collect()
}

/// Salts differ, so of a password's hash only form and length are compared.
fn without_hashes(rows: Rows) -> Rows {
    let blank = |(key, value): (Vec<u8>, Vec<u8>)| {
        let mut user = authpb::User::decode(value.as_slice()).unwrap();
        assert_eq!(user.encode_to_vec(), value, "row of {key:?} is not in our encoding");
        assert!(user.password.is_empty() || user.password.starts_with(b"$2a$04$"));
        user.password = vec![b'x'; user.password.len()].into();
        (key, user.encode_to_vec())
    };
    rows.into_iter().map(blank).collect()
}

/// The same history makes the same rows, and each side goes on with the other's file.
#[tokio::test]
async fn snapshots_keep_users_both_ways() {
    let mut pair = Pair::start(&[]).await;
    for call in [add_user("root", "rootpw"), add_user("u", "pw"), add_user_without_password("cert")]
    {
        pair.ask((NOBODY, call)).await;
    }
    let steps = vec![RoleAdd("r"), RoleAdd("w"), GrantRole("root", "root")];
    pair.ask_all(auth(NOBODY, steps)).await;
    for call in [
        grant("r", Read, "k", ""),
        grant("w", Readwrite, "a", "b"),
        grant("w", Write, "z", "\0"),
        grant("r", Read, "c", "d"),
    ] {
        pair.ask((NOBODY, call)).await;
    }
    let steps = vec![GrantRole("u", "w"), GrantRole("u", "r"), Enable, Status];
    pair.ask_all(auth(NOBODY, steps)).await;
    pair.login("root", "rootpw").await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    let (ours, theirs) = pair.caller("root");
    save(&ours, &file("ours.db")).await;
    save(&theirs, &file("theirs.db")).await;
    for bucket in ["auth", "authRoles"] {
        assert_eq!(rows(&file("ours.db"), bucket), rows(&file("theirs.db"), bucket), "{bucket}");
    }
    let users = |name: &str| without_hashes(rows(&file(name), "authUsers"));
    assert_eq!(users("ours.db"), users("theirs.db"));

    let quorate = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let mut tool = Command::new(quorate);
    tool.arg("restore");
    std::fs::create_dir_all(file("here")).unwrap();
    check(&restore(tool, quorate, &file("here"), &file("theirs.db"))).await;
    let mut tool = Command::new(reference(Version::V3_7_1, "etcdutl"));
    tool.args(["snapshot", "restore"]);
    std::fs::create_dir_all(file("there")).unwrap();
    let etcd = reference(Version::V3_7_1, "etcd");
    check(&restore(tool, &etcd, &file("there"), &file("ours.db"))).await;
    pair.finish(14);
}
