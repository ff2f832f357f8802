//! Three members: a token of one is good at all, what one takes away is gone at all, and users outlive kill -9.

use super::pair::{add_user, grant, revoke, start};
use crate::wire::{AuthCall, Call, Wire};
use AuthCall::{Enable, GrantRole, RoleAdd};
use quorate_proto::authpb::permission::Type::Readwrite;
use quorate_proto::etcdserverpb as pb;
use std::path::Path;
use testbed::Cluster;

struct Members {
    cluster: Cluster,
    _folder: tempfile::TempDir,
}

impl Members {
    fn start(extra: &[&str]) -> Members {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
        let extra = [&["--bcrypt-cost=4"], extra].concat();
        Members { cluster: start(program, folder.path(), 3, &extra), _folder: folder }
    }

    async fn wire(&self, n: usize) -> Wire {
        Wire::connect(&self.cluster.client_urls()[n]).await
    }

    /// kill -9 to all at once, and up again.
    fn crash(&mut self) {
        self.cluster.members.iter_mut().for_each(|member| member.process.kill().unwrap());
        self.cluster.members.iter_mut().for_each(|member| member.process.start().unwrap());
        self.cluster.wait_ready().unwrap();
    }
}

async fn ask(wire: &Wire, call: Call) {
    let answer = wire.call(call.clone()).await;
    assert!(answer.contains("header"), "{call:?}: {answer}");
}

fn put(key: &'static str) -> Call {
    Call::Put(pb::PutRequest { key: key.into(), ..Default::default() })
}

async fn set_up(wire: &Wire) {
    for call in [
        add_user("root", "rootpw"),
        add_user("u", "pw"),
        Call::Auth(RoleAdd("r")),
        grant("r", Readwrite, "k", ""),
        Call::Auth(GrantRole("root", "root")),
        Call::Auth(GrantRole("u", "r")),
        Call::Auth(Enable),
    ] {
        ask(wire, call).await;
    }
}

async fn auth_revision(wire: &Wire) -> u64 {
    let status = wire.auth().auth_status(pb::AuthStatusRequest {}).await.unwrap().into_inner();
    assert!(status.enabled);
    status.auth_revision
}

/// Logs in at each member in turn and uses the token at all of them at once: whoever has not applied the login yet waits.
#[tokio::test]
async fn a_token_is_good_at_all_members() {
    let mut members = Members::start(&[]);
    set_up(&members.wire(0).await).await;
    for round in 0..10 {
        let token = members.wire(round % 3).await.login("u", "pw").await.unwrap();
        for n in 0..3 {
            let wire = members.wire((round + 1 + n) % 3).await.with_token(&token);
            ask(&wire, put("k")).await;
        }
    }
    // Taken away at one, gone at all.
    let (first, last) = (members.wire(0).await, members.wire(2).await);
    let root = first.with_token(&first.login("root", "rootpw").await.unwrap());
    let user = last.with_token(&last.login("u", "pw").await.unwrap());
    ask(&user, put("k")).await;
    ask(&root, revoke("r", "k", "")).await;
    let range = Call::Range(pb::RangeRequest { key: "k".into(), ..Default::default() });
    for call in [put("k"), range] {
        // As with etcd, a member that has not applied the revocation refuses for its own being late.
        let refusal = loop {
            let said = user.call(call.clone()).await;
            if !said.contains("revision of auth store is old") {
                break said;
            }
        };
        assert!(refusal.contains("permission denied"), "{refusal}");
    }
    ask(&root, grant("r", Readwrite, "k", "")).await;
    let before = auth_revision(&first).await;
    let url = &members.cluster.client_urls()[0];
    let limit = std::time::Duration::from_secs(30);
    let page = quorate_client::http_get(&Default::default(), url, "/metrics", limit).await.unwrap();
    let line = format!("etcd_debugging_auth_revision {before}\n");
    assert!(page.text().contains(&line), "no {line}");
    members.crash();
    for n in 0..3 {
        let wire = members.wire(n).await;
        assert_eq!(auth_revision(&wire).await, before, "member {n}");
        let user = wire.with_token(&wire.login("u", "pw").await.unwrap());
        ask(&user, put("k")).await;
        assert!(user.call(put("z")).await.contains("permission denied"));
        assert!(wire.call(put("k")).await.contains("user name is empty"));
        assert!(wire.login("u", "wrong").await.is_err());
    }
}

/// A signed token outlives the crash of all members, because nobody has to remember it.
#[tokio::test]
async fn a_signed_token_outlives_its_members() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "a secret that members share").unwrap();
    let flag = format!("--auth-token=jwt,sign-method=HS256,priv-key={}", secret.path().display());
    let mut members = Members::start(&[&flag]);
    set_up(&members.wire(0).await).await;
    let token = members.wire(1).await.login("u", "pw").await.unwrap();
    for n in 0..3 {
        ask(&members.wire(n).await.with_token(&token), put("k")).await;
    }
    members.crash();
    for n in 0..3 {
        let user = members.wire(n).await.with_token(&token);
        ask(&user, put("k")).await;
        assert!(user.call(put("z")).await.contains("permission denied"));
    }
    let forged = token.replacen('.', ".e30", 1);
    let wire = members.wire(0).await.with_token(&forged);
    assert!(wire.call(put("k")).await.contains("invalid auth token"));
}

/// With authentication on, leases still expire: their keys go whoever wrote them, and their holder keeps them if it may.
#[tokio::test]
async fn leases_expire_under_authentication() {
    let members = Members::start(&[]);
    let wire = members.wire(1).await;
    set_up(&wire).await;
    let user = wire.with_token(&wire.login("u", "pw").await.unwrap());
    ask(&user, Call::Grant(pb::LeaseGrantRequest { ttl: 2, id: 7 })).await;
    ask(&user, Call::Put(pb::PutRequest { key: "k".into(), lease: 7, ..Default::default() })).await;
    assert!(user.call(Call::KeepAlive(7)).await.contains("ttl: 2"));
    let range = || Call::Range(pb::RangeRequest { key: "k".into(), ..Default::default() });
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !user.call(range()).await.contains("count: 0") {
        assert!(std::time::Instant::now() < limit, "the key outlives its lease");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
