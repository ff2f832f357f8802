//! What beside keys a member keeps when the program is replaced: leases, users and roles with authentication on, alarms, the
//! names of members, a log that is kept elsewhere, a database that a leader had sent.

use std::fs;
use std::path::Path;

use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_proto::etcdserverpb::{AuthEnableRequest, AuthenticateRequest, MemberListRequest};
use testbed::{Version, reference};

use super::ask;
use super::content::{alarm, alarms, fill, leased_keys, put_request, save, write_more};
use super::load::Load;
use super::lone::Lone;
use super::stage::{READY_MAX, SERVER, Stage};

/// A lone member with everything, and its log elsewhere.
async fn everything(version: Version) {
    let mut lone = Lone::new();
    let wal = lone.folder.path().join("elsewhere").join("wal");
    fs::create_dir(wal.parent().unwrap()).unwrap();
    lone.flags.push(format!("--wal-dir={}", wal.display()));
    let mut etcd = lone.start(&reference(version, "etcd"));
    fill(&lone.url).await;
    alarm(&lone.url, AlarmAction::Activate, 0x77).await;
    let state = lone.state().await;
    let ran = ask::status(&lone.url).await.unwrap();
    let before = save(&lone.url, &lone.folder.path().join("before")).await;
    let auth = AuthClient::new(ask::channel(&lone.url, READY_MAX));
    auth.clone().auth_enable(AuthEnableRequest {}).await.unwrap();
    etcd.kill().unwrap();

    let _quorate = lone.start(Path::new(SERVER));
    // Who asks must say who he is, with the password that etcd had hashed.
    let mut kv = ask::kv(&lone.url, READY_MAX);
    kv.put(put_request("k1", "nobody's")).await.unwrap_err();
    let login = |name: &str, password: &str| AuthenticateRequest {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    auth.clone().authenticate(login("root", "wrong")).await.unwrap_err();
    let token =
        auth.clone().authenticate(login("root", "secret")).await.unwrap().into_inner().token;
    let mut disable = tonic::Request::new(quorate_proto::etcdserverpb::AuthDisableRequest {});
    disable.metadata_mut().insert("token", token.parse().unwrap());
    auth.clone().auth_disable(disable).await.unwrap();

    assert_eq!(lone.state().await, state, "{}", version.name());
    assert_eq!(alarms(&lone.url).await, [0x77]);
    assert_eq!(leased_keys(&lone.url).await, ["leased"]);
    let runs = ask::status(&lone.url).await.unwrap();
    assert_eq!(runs.header.unwrap().member_id, ran.header.unwrap().member_id);
    // The log goes on in the next term, as after any restart.
    assert!(runs.raft_term > ran.raft_term, "term {} after {}", runs.raft_term, ran.raft_term);
    assert!(runs.raft_index > ran.raft_index, "{} after {}", runs.raft_index, ran.raft_index);
    let after = save(&lone.url, &lone.folder.path().join("after")).await;
    for bucket in ["alarm", "authRoles", "authUsers", "lease"] {
        let [a, b] =
            [&before, &after].map(|f| super::content::rows(&f.database().unwrap(), bucket));
        assert_eq!(a, b, "{} {bucket}", version.name());
    }
    let kept = fs::read_dir(wal.parent().unwrap()).unwrap();
    let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("wal.etcd-")).count(), 1);
    alarm(&lone.url, AlarmAction::Deactivate, 0x77).await;
    write_more(&lone.url, 20).await;
}

/// Of 3.7.
#[tokio::test(flavor = "multi_thread")]
async fn everything_of_3_7_is_kept() {
    everything(Version::V3_7_1).await;
}

/// Of 3.5.
#[tokio::test(flavor = "multi_thread")]
async fn everything_of_3_5_is_kept() {
    everything(Version::V3_5_1).await;
}

/// Of 3.4, whose alarms and members are kept in the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn everything_of_3_4_is_kept() {
    everything(Version::V3_4_23).await;
}

/// A member that was sent a snapshot by its leader has a log without a beginning: its `.snap` file tells who the members are.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_beginning_is_taken_over() {
    let mut stage =
        Stage::start(Version::V3_7_1, &["--snapshot-count=50", "--snapshot-catchup-entries=5"]);
    let identity = stage.identity().await;
    let load = Load::start(&stage.urls, "load", None).await;
    stage.kill(&[2]);
    load.more(400).await;
    stage.start_again(&[2]);
    ask::until("a snapshot from the leader", READY_MAX, async || {
        let log = stage.cluster.members[2].process.log_text();
        log.contains("applied snapshot").then_some(())
    })
    .await;
    load.more(50).await;
    stage.kill(&[0, 1, 2]);
    stage.become_quorate();
    assert_eq!(stage.identity().await, identity);
    load.more(50).await;
    let puts = load.stop().await;
    ask::members_agree(&stage.urls).await;
    for url in &stage.urls {
        super::load::all_there(url, &puts).await;
        let mut cluster = ClusterClient::new(ask::channel(url, READY_MAX));
        let members = cluster.member_list(MemberListRequest::default()).await.unwrap();
        let members = members.into_inner().members;
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(members.len(), 3);
        assert!(members.iter().all(|member| stage.urls.contains(&member.client_ur_ls[0])));
        for name in ["m1", "m2", "m3"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}
