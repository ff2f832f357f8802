//! Every error that etcd's clients know, provoked from outside on Quorate and on real etcd 3.7.1, and compared in code
//! and text. What cannot be provoked stands in a list, each with the reason.

use super::stage::{Caller, PATIENCE, SERVER, lone, start, until};
use bytes::Bytes;
use quorate_proto::authpb::{Permission, UserAddOptions};
use quorate_proto::errors::EtcdError as E;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use std::path::{Path, PathBuf};
use testbed::{Version, reference};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Errors of etcd's table that no client can provoke at will.
const OUT_OF_REACH: &[(E, &str)] = &[
    (E::WatchCanceled, "sent only to a client that has ended its own stream"),
    (E::MemberExists, "ids are hashes over the URLs and the second; equal URLs are refused before"),
    (E::ClusterIdMismatch, "said between members; clients name no cluster"),
    (E::TooManyRequests, "5000 entries must wait to be applied: a matter of speed"),
    (E::RevisionOfAuthStoreIsOld, "a change of rights must come between check and apply"),
    (E::LeaderChanged, "the leader must change while a read index is under way"),
    (E::NotCapable, "the cluster version must be older than what is asked for; 3.7 serves all"),
    (E::Stopped, "a call must meet the moment in which the member stops"),
    (E::TimeoutDueToLeaderFail, "the leader must die in the two elections before the call"),
    (E::TimeoutDueToConnectionLost, "the connections must be lost while the call is under way"),
    (E::TimeoutWaitAppliedIndex, "a leader must be a second behind with applying"),
    (E::ClusterVersionUnavailable, "only before the first leader's first seconds"),
    (E::NoInflightDowngrade, "logged only; the call succeeds"),
    (E::RequestCanceled, "said by etcd's own client library"),
    (E::DeadlineExceeded, "said by the client's gRPC library when its time is over"),
];

/// What was provoked, and what came.
type Said = Vec<(E, String)>;

fn told<T>(answer: Result<T, Status>) -> String {
    match answer {
        Ok(_) => "no error".to_owned(),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str) -> pb::PutRequest {
    pb::PutRequest { key: b(key), value: b("v"), ..Default::default() }
}

fn range(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: b(key), ..Default::default() }
}

fn puts(keys: impl IntoIterator<Item = String>) -> pb::TxnRequest {
    let op = |key: String| pb::RequestOp { request: Some(Op::RequestPut(put(&key))) };
    pb::TxnRequest { success: keys.into_iter().map(op).collect(), ..Default::default() }
}

async fn keys(on: &Caller) -> Said {
    let mut kv = on.kv();
    let mut said = Vec::new();
    let empty = pb::PutRequest { value: b(""), ..put("missing") };
    said.push((E::EmptyKey, told(kv.range(range("")).await)));
    let missing = pb::PutRequest { ignore_value: true, ..empty };
    said.push((E::KeyNotFound, told(kv.put(missing).await)));
    let with_value = pb::PutRequest { ignore_value: true, ..put("k") };
    said.push((E::ValueProvided, told(kv.put(with_value).await)));
    let with_lease = pb::PutRequest { ignore_lease: true, lease: 5, ..put("k") };
    said.push((E::LeaseProvided, told(kv.put(with_lease).await)));
    let many = puts((0..129).map(|n| n.to_string()));
    said.push((E::TooManyOps, told(kv.txn(many).await)));
    let twice = puts(["a".to_owned(), "a".to_owned()]);
    said.push((E::DuplicateKey, told(kv.txn(twice).await)));
    let mut old = Request::new(range("k"));
    let version = MetadataValue::try_from(&b"\xff\xfe"[..]).unwrap();
    old.metadata_mut().insert("client-api-version", version);
    said.push((E::InvalidClientApiVersion, told(kv.range(old).await)));
    let sorted = pb::RangeRequest { sort_order: 9, ..range("k") };
    said.push((E::InvalidSortOption, told(kv.range(sorted).await)));
    for _ in 0..5 {
        kv.put(put("k")).await.unwrap();
    }
    kv.compact(pb::CompactionRequest { revision: 4, physical: true }).await.unwrap();
    let past = pb::RangeRequest { revision: 2, ..range("k") };
    said.push((E::Compacted, told(kv.range(past).await)));
    let future = pb::RangeRequest { revision: 9999, ..range("k") };
    said.push((E::FutureRevision, told(kv.range(future).await)));
    let large = pb::PutRequest { value: vec![b'x'; 1_600_000].into(), ..put("k") };
    said.push((E::RequestTooLarge, told(kv.put(large).await)));
    let leased = pb::PutRequest { lease: 999, ..put("k") };
    said.push((E::LeaseNotFound, told(kv.put(leased).await)));
    let mut lease = LeaseClient::new(on.0.clone());
    let grant = |id, ttl| pb::LeaseGrantRequest { id, ttl };
    lease.lease_grant(grant(7, 100)).await.unwrap();
    said.push((E::LeaseExists, told(lease.lease_grant(grant(7, 100)).await)));
    said.push((E::LeaseTtlTooLarge, told(lease.lease_grant(grant(8, 9_000_000_001)).await)));
    said
}

async fn upkeep(on: &Caller) -> Said {
    let mut said = Vec::new();
    let mut maintenance = on.maintenance();
    let alarm = |action, alarm| pb::AlarmRequest { action, member_id: 77, alarm };
    for (kind, error) in [(1, E::NoSpace), (2, E::CorruptCluster)] {
        maintenance.alarm(alarm(1, kind)).await.unwrap();
        said.push((error, told(on.kv().put(put("k")).await)));
        maintenance.alarm(alarm(2, kind)).await.unwrap();
    }
    let to = |target_id| pb::MoveLeaderRequest { target_id };
    said.push((E::BadLeaderTransferee, told(maintenance.move_leader(to(99)).await)));
    until("the cluster version", || async {
        let version = pb::DowngradeRequest { action: 0, version: "3.6".to_owned() };
        on.maintenance().downgrade(version).await.ok()
    })
    .await;
    for (action, version, error) in [
        (0, "x", E::WrongDowngradeTargetVersionFormat),
        (0, "3.1", E::InvalidDowngradeTargetVersion),
        (1, "3.6", E::DowngradeInProgress),
        (1, "3.6", E::DowngradeInProgress),
    ] {
        let request = pb::DowngradeRequest { action, version: version.to_owned() };
        said.push((error, told(maintenance.downgrade(request).await)));
    }
    said
}

async fn members(on: &Caller) -> Said {
    let mut said = Vec::new();
    let mut cluster = on.cluster();
    let first = on.members(true).await.remove(0);
    let add = |url: &str, is_learner| pb::MemberAddRequest {
        peer_ur_ls: vec![url.to_owned()],
        is_learner,
    };
    let remove = |id| pb::MemberRemoveRequest { id };
    let promote = |id| pb::MemberPromoteRequest { id };
    said.push((E::MemberBadUrls, told(cluster.member_add(add("x", false)).await)));
    let taken = add(&first.peer_ur_ls[0], false);
    said.push((E::PeerUrlExists, told(cluster.member_add(taken).await)));
    said.push((E::MemberNotFound, told(cluster.member_remove(remove(99)).await)));
    let last = remove(first.id);
    said.push((E::MemberNotEnoughStarted, told(cluster.member_remove(last).await)));
    said.push((E::MemberNotLearner, told(cluster.member_promote(promote(first.id)).await)));
    let learner = cluster.member_add(add("http://127.0.0.1:9", true)).await.unwrap();
    let id = learner.into_inner().member.unwrap().id;
    said.push((E::LearnerNotReady, told(cluster.member_promote(promote(id)).await)));
    let second = cluster.member_add(add("http://127.0.0.1:10", true)).await;
    said.push((E::TooManyLearners, told(second)));
    cluster.member_remove(remove(id)).await.unwrap();
    said
}

async fn learner(on: &Caller, program: &Path, folder: &Path) -> Said {
    let first = on.members(true).await.remove(0);
    let mut second = lone(program, folder, "learner", &[]);
    let peer_ur_ls = vec![second.peer.clone()];
    let added = pb::MemberAddRequest { peer_ur_ls, is_learner: true };
    on.cluster().member_add(added).await.unwrap();
    let initial = format!("{}={},learner={}", first.name, first.peer_ur_ls[0], second.peer);
    second.process.add_argument(&format!("--initial-cluster={initial}"));
    second.process.add_argument("--initial-cluster-state=existing");
    second.process.start().unwrap();
    second.process.wait_ready(PATIENCE).unwrap();
    let learner = Caller::to(&second.client).await;
    let serializable = pb::RangeRequest { serializable: true, ..range("k") };
    let health = tonic_health::pb::HealthCheckRequest::default();
    let mut doctor = tonic_health::pb::health_client::HealthClient::new(learner.0.clone());
    let list = pb::MemberListRequest { linearizable: false };
    let error = E::NotSupportedForLearner;
    vec![
        (error, told(learner.kv().put(put("k")).await)),
        (error, told(learner.kv().range(range("k")).await)),
        (error, told(learner.kv().range(serializable.clone()).await)),
        (error, told(learner.kv().range_stream(serializable).await)),
        (error, told(learner.maintenance().status(pb::StatusRequest {}).await)),
        (error, told(learner.maintenance().hash_kv(pb::HashKvRequest { revision: 0 }).await)),
        (error, told(learner.maintenance().snapshot(pb::SnapshotRequest {}).await)),
        (error, told(learner.cluster().member_list(list).await)),
        (error, told(doctor.check(health).await)),
    ]
}

struct Keeper {
    client: AuthClient<Channel>,
    token: Option<String>,
}

impl Keeper {
    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.parse().unwrap());
        }
        request
    }

    async fn log_in(&mut self, name: &str, password: &str) -> Result<(), Status> {
        let (name, password) = (name.to_owned(), password.to_owned());
        let answer = self.client.authenticate(pb::AuthenticateRequest { name, password }).await?;
        self.token = Some(answer.into_inner().token);
        Ok(())
    }
}

fn user(name: &str) -> pb::AuthUserAddRequest {
    let options = Some(UserAddOptions { no_password: false });
    pb::AuthUserAddRequest {
        name: name.to_owned(),
        password: "p".to_owned(),
        options,
        ..Default::default()
    }
}

fn role(name: &str) -> pb::AuthRoleAddRequest {
    pb::AuthRoleAddRequest { name: name.to_owned() }
}

fn grant(user: &str, role: &str) -> pb::AuthUserGrantRoleRequest {
    pb::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() }
}

async fn rights(on: &Caller) -> Said {
    let mut said = Vec::new();
    let mut keeper = Keeper { client: AuthClient::new(on.0.clone()), token: None };
    let enable = pb::AuthEnableRequest {};
    said.push((E::AuthenticationIsNotEnabled, told(keeper.log_in("root", "p").await)));
    said.push((E::RootUserDoesNotExist, told(keeper.client.auth_enable(enable).await)));
    keeper.client.user_add(user("root")).await.unwrap();
    said.push((E::RootUserDoesNotHaveRootRole, told(keeper.client.auth_enable(enable).await)));
    said.push((E::UserNameAlreadyExists, told(keeper.client.user_add(user("root")).await)));
    said.push((E::UserNameIsEmpty, told(keeper.client.user_add(user("")).await)));
    let unknown = pb::AuthUserGetRequest { name: "nobody".to_owned() };
    said.push((E::UserNameNotFound, told(keeper.client.user_get(unknown).await)));
    keeper.client.role_add(role("r")).await.unwrap();
    said.push((E::RoleNameAlreadyExists, told(keeper.client.role_add(role("r")).await)));
    said.push((E::RoleNameIsEmpty, told(keeper.client.role_add(role("")).await)));
    let unknown = pb::AuthRoleGetRequest { role: "none".to_owned() };
    said.push((E::RoleNameNotFound, told(keeper.client.role_get(unknown).await)));
    let bare = pb::AuthRoleGrantPermissionRequest { name: "r".to_owned(), perm: None };
    said.push((E::PermissionNotGiven, told(keeper.client.role_grant_permission(bare).await)));
    let revoke = pb::AuthUserRevokeRoleRequest { name: "root".to_owned(), role: "r".to_owned() };
    said.push((E::RoleIsNotGrantedToTheUser, told(keeper.client.user_revoke_role(revoke).await)));
    let revoke =
        pb::AuthRoleRevokePermissionRequest { role: "r".to_owned(), key: b("k"), range_end: b("") };
    let revoked = keeper.client.role_revoke_permission(revoke).await;
    said.push((E::PermissionIsNotGrantedToTheRole, told(revoked)));
    keeper.client.role_add(role("root")).await.unwrap();
    keeper.client.user_grant_role(grant("root", "root")).await.unwrap();
    keeper.client.user_add(user("u")).await.unwrap();
    keeper.client.user_grant_role(grant("u", "r")).await.unwrap();
    let perm = Some(Permission { perm_type: 0, key: b("k"), range_end: b("") });
    let read = pb::AuthRoleGrantPermissionRequest { name: "r".to_owned(), perm };
    keeper.client.role_grant_permission(read).await.unwrap();
    keeper.client.auth_enable(enable).await.unwrap();
    said.push((E::AuthFailed, told(keeper.log_in("u", "wrong").await)));
    keeper.log_in("u", "p").await.unwrap();
    said.push((E::PermissionDenied, told(on.kv().put(keeper.ask(put("k"))).await)));
    keeper.token = Some("nonsense.1".to_owned());
    said.push((E::InvalidAuthToken, told(on.kv().put(keeper.ask(put("k"))).await)));
    keeper.log_in("root", "p").await.unwrap();
    let delete = keeper.ask(pb::AuthUserDeleteRequest { name: "root".to_owned() });
    said.push((E::InvalidAuthManagement, told(keeper.client.user_delete(delete).await)));
    said
}

/// Three members, of which first one dies, then another.
async fn quorum(program: &Path, folder: &Path) -> Said {
    let mut cluster = start(program, folder, 3, &[]);
    let urls = cluster.client_urls();
    let mut said = Vec::new();
    let mut following = Vec::new();
    for (n, url) in urls.iter().enumerate() {
        let status = Caller::to(url).await.status().await;
        if status.leader != status.header.unwrap().member_id {
            following.push((n, Caller::to(url).await));
        }
    }
    let (survivor, dying) = (&following[0].1, following[1].0);
    let leading = 3 - following[0].0 - dying;
    let to = pb::MoveLeaderRequest { target_id: 99 };
    said.push((E::NotLeader, told(survivor.maintenance().move_leader(to).await)));
    cluster.members[dying].process.kill().unwrap();
    let leader = Caller::to(&urls[leading]).await;
    let add = pb::MemberAddRequest {
        peer_ur_ls: vec!["http://127.0.0.1:9".to_owned()],
        is_learner: false,
    };
    said.push((E::UnhealthyCluster, told(leader.cluster().member_add(add).await)));
    cluster.members[leading].process.kill().unwrap();
    until("the end of leadership", || async {
        (survivor.status().await.leader == 0).then_some(())
    })
    .await;
    let mut led = Request::new(pb::StatusRequest {});
    led.metadata_mut().insert("hasleader", "true".parse().unwrap());
    said.push((E::NoLeader, told(survivor.maintenance().status(led).await)));
    // Long enough after the leader's death, so that it is not blamed for.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let list = pb::MemberListRequest { linearizable: true };
    said.push((E::Timeout, told(survivor.cluster().member_list(list).await)));
    said
}

async fn all(program: PathBuf, folder: PathBuf) -> Said {
    let cluster = start(&program, &folder.join("one"), 1, &[]);
    let on = Caller::to(&cluster.client_urls()[0]).await;
    let mut said = keys(&on).await;
    said.extend(members(&on).await);
    said.extend(upkeep(&on).await);
    let second = start(&program, &folder.join("other"), 1, &[]);
    let other = Caller::to(&second.client_urls()[0]).await;
    said.extend(learner(&other, &program, &folder.join("learner")).await);
    said.extend(rights(&on).await);
    drop((cluster, second));
    said.extend(quorum(&program, &folder.join("three")).await);
    said
}

/// Every error of etcd's table comes as from etcd, or is known to be out of reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_equals_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let quorate = all(PathBuf::from(SERVER), folder.path().join("quorate"));
    let etcd = all(reference(Version::V3_7_1, "etcd"), folder.path().join("etcd"));
    let (our, their) = tokio::join!(quorate, etcd);
    assert_eq!(our.len(), their.len());
    let mut wrong = Vec::new();
    for ((error, our), (_, their)) in our.iter().zip(&their) {
        if our != their {
            wrong.push(format!("{error:?}\n  etcd:    {their}\n  quorate: {our}"));
        }
    }
    for error in E::ALL {
        let ends = |(_, said): &&(E, String)| {
            said.split_once(": ").is_some_and(|(_, text)| text == error.text())
        };
        let is_seen = our.iter().any(|said| ends(&said));
        let is_out_of_reach = OUT_OF_REACH.iter().any(|(known, _)| known == error);
        if is_seen == is_out_of_reach {
            wrong.push(format!("{error:?}: seen {is_seen}, out of reach {is_out_of_reach}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{} answers equal, {} errors out of reach", our.len(), OUT_OF_REACH.len());
}
