//! An observer of an election whose right is taken away, beside real etcd 3.7.1.

use super::pair::{add_user, grant, revoke, start};
use crate::wire::{AuthCall, Call, Wire, b};
use AuthCall::{Enable, GrantRole, RoleAdd};
use quorate_proto::authpb::permission::Type::Read;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::v3electionpb::LeaderRequest;
use quorate_proto::v3electionpb::election_client::ElectionClient;
use std::path::Path;
use std::time::Duration;
use testbed::{Version, reference};

const PATIENCE: Duration = Duration::from_secs(60);

fn proclaimed(value: &str) -> Call {
    Call::Put(pb::PutRequest { key: b("e/1"), value: b(value), ..Default::default() })
}

/// What an observer hears: the leader; then, once its right is gone and the leader has said something new, the next thing.
async fn heard(program: &Path, folder: &Path) -> (String, Option<String>) {
    let cluster = start(program, folder, 1, &["--bcrypt-cost=4"]);
    let open = Wire::connect(&cluster.client_urls()[0]).await;
    for call in [
        add_user("root", "root"),
        add_user("u", "u"),
        Call::Auth(RoleAdd("r")),
        grant("r", Read, "e/", "e0"),
        Call::Auth(GrantRole("root", "root")),
        Call::Auth(GrantRole("u", "r")),
        Call::Auth(Enable),
    ] {
        assert!(open.call(call).await.contains("header"));
    }
    let root = open.with_token(&open.login("root", "root").await.unwrap());
    let user = open.with_token(&open.login("u", "u").await.unwrap());
    root.call(proclaimed("first")).await;
    let mut election = ElectionClient::new(user.channel());
    let request = user.request(LeaderRequest { name: b("e") });
    let mut observer = election.observe(request).await.unwrap().into_inner();
    let first = tokio::time::timeout(PATIENCE, observer.message()).await.unwrap();
    let first = first.unwrap().unwrap().kv.unwrap().value;
    assert!(root.call(revoke("r", "e/", "e0")).await.contains("header"));
    root.call(proclaimed("secret")).await;
    let next = tokio::time::timeout(Duration::from_secs(5), observer.message()).await.ok();
    let next = next.map(|next| match next {
        Ok(Some(answer)) => String::from_utf8_lossy(&answer.kv.unwrap().value).into_owned(),
        Ok(None) => "the end".to_owned(),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    });
    (String::from_utf8_lossy(&first).into_owned(), next)
}

/// etcd goes on telling an observer whose right is gone; Quorate ends it, in the words in which etcd ends any, and tells
/// nothing that was written after the right was lost.
#[tokio::test]
async fn an_observer_ends_with_its_right() {
    let folder = tempfile::tempdir().unwrap();
    let quorate = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let our = heard(quorate, &folder.path().join("ours")).await;
    let their = heard(&reference(Version::V3_7_1, "etcd"), &folder.path().join("etcd")).await;
    println!("etcd: {their:?}");
    assert_eq!(our.0, "first");
    assert_eq!(our.1.as_deref(), Some("Unknown: election: observe closed early"));
    assert_eq!(their, ("first".to_owned(), Some("secret".to_owned())));
}
