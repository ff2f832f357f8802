//! Rights across crashes, snapshots and leaders: what was switched on stays on, and nobody gets in meanwhile.

use super::stage::{Caller, PATIENCE, Stage, ours, permission, range};
use quorate_proto::authpb::permission::Type::Readwrite;
use quorate_proto::etcdserverpb as pb;
use std::time::{Duration, Instant};

async fn auth_revision(caller: &Caller) -> (bool, u64) {
    let request = caller.request(pb::AuthStatusRequest {});
    let status = caller.auth().auth_status(request).await.unwrap().into_inner();
    (status.enabled, status.auth_revision)
}

/// What alice may and may not do, and that nobody may do anything.
async fn check_rights(nobody: &Caller) {
    let refused = nobody.put("a", "x").await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: user name is empty");
    let alice = nobody.login("alice").await;
    alice.put("a", "x").await.unwrap();
    let refused = alice.get("secret").await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: permission denied");
}

/// A member that is killed the moment authentication is on, before anything of it is in its state file, starts again with
/// it on: same users, same rights, same revision.
#[tokio::test]
async fn killed_the_moment_it_is_on() {
    let mut stage = Stage::start(&ours(), 1, &[]);
    stage.with_alice(&[permission(Readwrite, "a", "")]).await;
    for _ in 0..3 {
        let before = auth_revision(&stage.nobody()).await;
        assert!(before.0);
        let process = &mut stage.cluster.members[0].process;
        process.kill().unwrap();
        process.start().unwrap();
        process.wait_ready(PATIENCE).unwrap();
        assert_eq!(auth_revision(&stage.nobody()).await, before);
        check_rights(&stage.nobody()).await;
        let root = stage.nobody().login("root").await;
        root.auth().auth_disable(root.request(pb::AuthDisableRequest {})).await.unwrap();
        stage.nobody().auth().auth_enable(pb::AuthEnableRequest {}).await.unwrap();
    }
}

/// A member that was away while authentication was switched on, and gets the state as a snapshot, lets nobody read: not
/// before it has it, for nobody is told more than the old state had, and not after.
#[tokio::test]
async fn rights_arrive_with_a_snapshot() {
    let flags = ["--snapshot-count=20", "--experimental-snapshot-catchup-entries=5"];
    let mut stage = Stage::start(&ours(), 3, &flags);
    stage.cluster.members[2].process.kill().unwrap();
    let (root, _) = stage.with_alice(&[permission(Readwrite, "a", "")]).await;
    for n in 0..200 {
        root.put("filler", &n.to_string()).await.unwrap();
    }
    let process = &mut stage.cluster.members[2].process;
    process.start().unwrap();
    process.wait_ready(PATIENCE).unwrap();
    let late = stage.nobody_at(2);
    let local = pb::RangeRequest { serializable: true, ..range("secret", "") };
    let start = Instant::now();
    loop {
        match late.kv().range(late.request(local.clone())).await {
            Err(status) if status.message() == "etcdserver: user name is empty" => break,
            Ok(answer) => assert!(answer.into_inner().kvs.is_empty(), "told before it knew"),
            Err(_) => {}
        }
        assert!(start.elapsed() < PATIENCE, "the member never learned of it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    check_rights(&late).await;
    assert_eq!(auth_revision(&late).await, auth_revision(&root).await);
    let log = stage.cluster.members[2].process.log_text();
    assert!(log.contains("applied snapshot"), "{}", stage.cluster.members[2].process.log_end());
}

/// A simple token made by one leader is good under the next, and one of a user that was deleted meanwhile is not.
#[tokio::test]
async fn tokens_outlive_their_leader() {
    let mut stage = Stage::start(&ours(), 3, &[]);
    let (root, alice) = stage.with_alice(&[permission(Readwrite, "a", "")]).await;
    root.add_user("mallory").await;
    root.grant_role("mallory", "r").await;
    let mallory = stage.nobody().login("mallory").await;
    let delete = pb::AuthUserDeleteRequest { name: "mallory".into() };
    root.auth().user_delete(root.request(delete)).await.unwrap();
    let status = root.maintenance().status(root.request(pb::StatusRequest {})).await.unwrap();
    let leader = status.into_inner().leader;
    let mut others = Vec::new();
    for member in 0..3 {
        let there = Caller { token: root.token.clone(), ..stage.nobody_at(member) };
        let status = there.maintenance().status(there.request(pb::StatusRequest {})).await.unwrap();
        if status.into_inner().header.unwrap().member_id == leader {
            stage.cluster.members[member].process.kill().unwrap();
        } else {
            others.push(stage.nobody_at(member));
        }
    }
    assert_eq!(others.len(), 2);
    for nobody in others {
        let alice = Caller { token: alice.token.clone(), ..nobody.clone() };
        let start = Instant::now();
        while let Err(status) = alice.put("a", "x").await {
            let text = status.message();
            assert!(!text.contains("token") && start.elapsed() < PATIENCE, "{text}");
        }
        let mallory = Caller { token: mallory.token.clone(), ..nobody };
        let refused = mallory.put("a", "x").await.unwrap_err();
        assert_eq!(refused.message(), "etcdserver: invalid auth token");
    }
}
