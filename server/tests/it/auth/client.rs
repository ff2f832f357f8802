//! Our own client with a password, against three members.

use super::pair::start;
use quorate_client::{Client, Config, Credentials, EtcdError};
use quorate_proto::authpb::{Permission, permission::Type};
use quorate_proto::etcdserverpb as pb;
use std::path::Path;
use std::time::Duration;
use testbed::Cluster;

async fn client(cluster: &Cluster, user: Option<(&str, &str)>) -> Client {
    let credentials = user.map(|(user, password)| Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    });
    Client::connect(Config { credentials, ..Config::new(cluster.client_urls()) }).await.unwrap()
}

fn put(key: &'static str, value: &'static str) -> pb::PutRequest {
    pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

/// The client logs in by itself, again when its token has run out, and is told what it may not do; its watch goes on.
#[tokio::test]
async fn our_client_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let cluster = start(program, folder.path(), 3, &["--bcrypt-cost=4", "--auth-token-ttl=1"]);
    let open = client(&cluster, None).await;
    open.auth().user_add("root", Some("rootpw")).await.unwrap();
    open.auth().user_add("u", Some("pw")).await.unwrap();
    open.auth().role_add("r").await.unwrap();
    let perm =
        Permission { perm_type: Type::Readwrite as i32, key: "k".into(), range_end: "l".into() };
    open.auth().role_grant_permission("r", perm).await.unwrap();
    open.auth().user_grant_role("u", "r").await.unwrap();
    open.auth().user_grant_role("root", "root").await.unwrap();
    open.auth().enable().await.unwrap();
    let refused = open.kv().put(put("k", "0")).await.unwrap_err();
    assert_eq!(refused.etcd(), Some(EtcdError::UserNameIsEmpty));

    let user = client(&cluster, Some(("u", "pw"))).await;
    user.kv().put(put("k", "1")).await.unwrap();
    // Longer than a token lives unused.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    user.kv().put(put("k", "2")).await.unwrap();
    assert_eq!(&user.kv().get("k").await.unwrap().kvs[0].value[..], b"2");
    let refused = user.kv().put(put("z", "1")).await.unwrap_err();
    assert_eq!(refused.etcd(), Some(EtcdError::PermissionDenied));
    let refused = user.auth().user_list().await.unwrap_err();
    assert_eq!(refused.etcd(), Some(EtcdError::PermissionDenied));

    let root = client(&cluster, Some(("root", "rootpw"))).await;
    assert_eq!(root.auth().user_list().await.unwrap().users, ["root", "u"]);
    let wrong = client(&cluster, Some(("u", "no"))).await;
    let refused = wrong.kv().get("k").await.unwrap_err();
    assert_eq!(refused.etcd(), Some(EtcdError::AuthFailed));
}
