//! Members that are behind when rights change, held by SIGSTOP, beside real etcd 3.7.1: what a caller hears whose write
//! waits at such a member.

use super::pair::{add_user, grant, revoke, start};
use crate::wire::{AuthCall, Call, Wire};
use AuthCall::{Disable, Enable, GrantRole, RoleAdd};
use quorate_proto::authpb::permission::Type::Readwrite;
use quorate_proto::etcdserverpb as pb;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testbed::{Cluster, Pair, Pki, Plan, Version, reference};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

const ROUNDS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(60);

/// How often what was said.
type Heard = BTreeMap<String, usize>;

fn put() -> Call {
    Call::Put(pb::PutRequest { key: "k".into(), ..Default::default() })
}

fn programs() -> [(&'static str, PathBuf); 2] {
    let quorate = Path::new(env!("CARGO_BIN_EXE_quorate-server")).to_owned();
    [("ours", quorate), ("etcd", reference(Version::V3_7_1, "etcd"))]
}

/// A change must be made; the member that makes it may be in an election.
async fn must(wire: &Wire, call: Call) {
    let made = async {
        loop {
            let said = wire.call(call.clone()).await;
            if said.contains("header") {
                return;
            }
            assert!(said.contains("Unavailable") || said.contains("old"), "{call:?}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.expect("the change is made in time");
}

/// A member that does not lead.
async fn follower(wires: &[Wire]) -> usize {
    let status = wires[0].maintenance().status(pb::StatusRequest {}).await.unwrap().into_inner();
    if status.leader == status.header.unwrap().member_id { 1 } else { 0 }
}

/// Stops a follower, makes the change elsewhere, sends it a write, and lets it go on: what it has to say to that write.
async fn at_a_lagging_member(
    cluster: &Cluster,
    at: usize,
    change: impl Future<Output = ()>,
    caller: &Wire,
    heard: &mut Heard,
) {
    let process = &cluster.members[at].process;
    process.signal(Signal::STOP).unwrap();
    change.await;
    let caller = caller.clone();
    let write = tokio::spawn(async move { caller.call(put()).await });
    // So that the write waits in the member's socket, behind nothing but what it has missed.
    tokio::time::sleep(Duration::from_millis(100)).await;
    process.signal(Signal::CONT).unwrap();
    let said = tokio::time::timeout(PATIENCE, write).await.unwrap().unwrap();
    let said = if said.contains("header") { "done".to_owned() } else { said };
    *heard.entry(said).or_default() += 1;
}

/// Only these two answers are right: the write is done, or the member was behind and says so.
fn judge(all: &[(&str, Heard)]) {
    for (kind, heard) in all {
        println!("{kind}: {heard:?}");
        for said in heard.keys() {
            assert!(
                said == "done" || said.contains("revision of auth store is old"),
                "{kind}: {said}"
            );
        }
    }
}

/// A user's token, while the user's rights are changed and stay enough: done, or "revision of auth store is old", from
/// both servers.
#[tokio::test]
async fn a_token_at_a_member_that_is_behind() {
    let mut all = Vec::new();
    for (kind, program) in programs() {
        let folder = tempfile::tempdir().unwrap();
        let cluster = start(&program, folder.path(), 3, &["--bcrypt-cost=4"]);
        let mut wires = Vec::new();
        for url in cluster.client_urls() {
            wires.push(Wire::connect(&url).await);
        }
        let at = follower(&wires).await;
        let other = &wires[(at + 1) % 3];
        make_accounts(other).await;
        must(other, Call::Auth(Enable)).await;
        let root = other.with_token(&other.login("root", "root").await.unwrap());
        let mut heard = Heard::new();
        for round in 0..ROUNDS {
            let user = wires[at].with_token(&wires[at].login("u", "u").await.unwrap());
            let change = match round % 2 {
                0 => grant("r", Readwrite, "other", ""),
                _ => revoke("r", "other", ""),
            };
            at_a_lagging_member(&cluster, at, must(&root, change), &user, &mut heard).await;
        }
        all.push((kind, heard));
    }
    judge(&all);
}

/// `root`, and `u`, who may use the key `k` by the role `r`.
async fn make_accounts(wire: &Wire) {
    for call in [
        add_user("root", "root"),
        add_user("u", "u"),
        Call::Auth(RoleAdd("r")),
        grant("r", Readwrite, "k", ""),
        Call::Auth(GrantRole("root", "root")),
        Call::Auth(GrantRole("u", "r")),
    ] {
        must(wire, call).await;
    }
}

async fn secure(url: &str, pki: &Pki, pair: &Pair) -> Wire {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&pki.ca())))
        .identity(Identity::from_pem(read(&pair.cert), read(&pair.key)));
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap().tls_config(tls).unwrap();
    Wire::over(endpoint.connect().await.unwrap())
}

/// A certificate's holder, while authentication is switched on: a member that has not heard of it yet writes the name
/// down all the same, so the write is never nobody's.
#[tokio::test]
async fn a_certificate_at_a_member_that_is_behind() {
    let mut all = Vec::new();
    for (kind, program) in programs() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(&folder.path().join("pki")).unwrap();
        let (root, user) = (pki.client("root").unwrap(), pki.client("u").unwrap());
        let extra = ["--bcrypt-cost=4".to_owned()];
        let plan = Plan { program: &program, members: 3, folder: folder.path(), extra: &extra };
        let cluster = Cluster::start_tls(&plan, &pki).unwrap();
        let urls = cluster.client_urls();
        let mut roots = Vec::new();
        for url in &urls {
            roots.push(secure(url, &pki, &root).await);
        }
        let at = follower(&roots).await;
        let other = &roots[(at + 1) % 3];
        let user = secure(&urls[at], &pki, &user).await;
        make_accounts(other).await;
        let mut heard = Heard::new();
        for _ in 0..ROUNDS {
            let enabled = must(other, Call::Auth(Enable));
            at_a_lagging_member(&cluster, at, enabled, &user, &mut heard).await;
            must(other, Call::Auth(Disable)).await;
            // A read at the member waits until it knows that too.
            must(&user, Call::Range(pb::RangeRequest { key: "k".into(), ..Default::default() }))
                .await;
        }
        all.push((kind, heard));
    }
    judge(&all);
}
