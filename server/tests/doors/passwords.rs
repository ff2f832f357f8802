//! Logins that cost much: they wait for each other, and nobody else waits for them.

use super::ask::{Lone, etcdctl, ours};
use quorate_proto::etcdserverpb::AuthenticateRequest;
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use std::time::Duration;
use testbed::Version;
use tonic::transport::Endpoint;

/// Logins at a time, each of which takes a second or more.
const LOGINS: usize = 24;
/// Calls of somebody who is logged in already.
const CALLS: usize = 5;

/// While dozens of passwords are checked at a high cost, reads and writes of others are answered: the last of the logins
/// is far from done when those are.
#[tokio::test(flavor = "multi_thread")]
async fn logins_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let member = Lone::plain(&ours(), folder.path(), "m1", &["--bcrypt-cost=13"]);
    let url = format!("http://127.0.0.1:{}", member.client);
    let flags = vec![format!("--endpoints={url}"), "--command-timeout=60s".to_owned()];
    etcdctl(Version::V3_7_1, &flags, "user add root:rootpw").good();
    etcdctl(Version::V3_7_1, &flags, "auth enable").good();
    let channel = Endpoint::new(url).unwrap().connect().await.unwrap();
    let login = |name: &str, password: &str| {
        let (mut client, name) = (AuthClient::new(channel.clone()), name.to_owned());
        let password = password.to_owned();
        tokio::spawn(
            async move { client.authenticate(AuthenticateRequest { name, password }).await },
        )
    };
    let token = login("root", "rootpw").await.unwrap().unwrap().into_inner().token;
    // A name that nobody has costs as much as a wrong password.
    let mut logins: Vec<_> = (0..LOGINS).map(|_| login("nobody", "wrong")).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut kv = quorate_proto::etcdserverpb::kv_client::KvClient::new(channel.clone());
    for n in 0..CALLS {
        let put = quorate_proto::etcdserverpb::PutRequest {
            key: format!("k{n}").into(),
            ..Default::default()
        };
        let mut request = tonic::Request::new(put);
        request.metadata_mut().insert("token", token.parse().unwrap());
        kv.put(request).await.unwrap();
    }
    let done = logins.iter().filter(|login| login.is_finished()).count();
    println!("{done} of {LOGINS} logins were over when {CALLS} puts were");
    assert!(done < LOGINS / 2, "{done} logins were over");
    assert!((&mut logins[0]).await.unwrap().is_err());
}
