//! Something of everything that a server keeps, and how to tell that two snapshots hold the same of it.

use std::path::Path;

use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::snapfile::SnapshotFile;
use quorate_proto::authpb::{Permission, permission};
use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{
    AlarmRequest, AlarmType, AuthRoleAddRequest, AuthRoleGrantPermissionRequest,
    AuthUserAddRequest, AuthUserGrantRoleRequest, CompactionRequest, DeleteRangeRequest,
    LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, SnapshotRequest,
};
use tokio_stream::StreamExt as _;

use super::ask;
use super::stage::READY_MAX;

/// A lease with a key on it.
pub const LEASE: i64 = 0x1234_5678;

/// Keys of every history, a compaction, a lease with a key, users and roles.
pub async fn fill(url: &str) {
    let mut kv = ask::kv(url, READY_MAX);
    let mut revision = 0;
    for round in 0..3 {
        for n in 0..20 {
            let put = put_request(&format!("k{n}"), &format!("round {round}").repeat(n + 1));
            let answer = kv.put(put).await.unwrap();
            revision = answer.into_inner().header.unwrap().revision;
        }
        let delete = DeleteRangeRequest {
            key: "k3".into(),
            range_end: "k5".into(),
            ..DeleteRangeRequest::default()
        };
        kv.delete_range(delete).await.unwrap();
    }
    kv.compact(CompactionRequest { revision: revision - 10, physical: true }).await.unwrap();
    let channel = ask::channel(url, READY_MAX);
    let mut leases = LeaseClient::new(channel.clone());
    leases.lease_grant(LeaseGrantRequest { id: LEASE, ttl: 7200 }).await.unwrap();
    kv.put(PutRequest { lease: LEASE, ..put_request("leased", "x") }).await.unwrap();
    let mut auth = AuthClient::new(channel);
    for name in ["root", "part"] {
        let add = AuthRoleAddRequest { name: name.to_owned() };
        auth.role_add(add).await.unwrap();
        let add = AuthUserAddRequest {
            name: name.to_owned(),
            password: "secret".to_owned(),
            ..AuthUserAddRequest::default()
        };
        auth.user_add(add).await.unwrap();
        let (user, role) = (name.to_owned(), name.to_owned());
        auth.user_grant_role(AuthUserGrantRoleRequest { user, role }).await.unwrap();
    }
    let perm = Permission {
        perm_type: permission::Type::Readwrite as i32,
        key: "k".into(),
        range_end: "l".into(),
    };
    let grant = AuthRoleGrantPermissionRequest { name: "part".to_owned(), perm: Some(perm) };
    auth.role_grant_permission(grant).await.unwrap();
}

pub fn put_request(key: &str, value: &str) -> PutRequest {
    PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() }
}

/// So many puts, of keys that only this makes.
pub async fn write_more(url: &str, n: usize) {
    let mut kv = ask::kv(url, READY_MAX);
    for n in 0..n {
        kv.put(put_request(&format!("more/{}", n % 400), &n.to_string())).await.unwrap();
    }
}

/// Raises or clears the alarm that a full database raises.
pub async fn alarm(url: &str, action: AlarmAction, member_id: u64) {
    let request =
        AlarmRequest { action: action as i32, member_id, alarm: AlarmType::Nospace as i32 };
    MaintenanceClient::new(ask::channel(url, READY_MAX)).alarm(request).await.unwrap();
}

/// Members that have raised an alarm.
pub async fn alarms(url: &str) -> Vec<u64> {
    let get = AlarmRequest { action: AlarmAction::Get as i32, ..AlarmRequest::default() };
    let mut maintenance = MaintenanceClient::new(ask::channel(url, READY_MAX));
    let answer = maintenance.alarm(get).await.unwrap().into_inner();
    answer.alarms.iter().map(|alarm| alarm.member_id).collect()
}

/// The keys on the lease, which must live.
pub async fn leased_keys(url: &str) -> Vec<String> {
    let ask_for = LeaseTimeToLiveRequest { id: LEASE, keys: true };
    let mut leases = LeaseClient::new(ask::channel(url, READY_MAX));
    let answer = leases.lease_time_to_live(ask_for).await.unwrap().into_inner();
    assert!(answer.ttl > 0 && answer.granted_ttl == 7200, "{answer:?}");
    answer.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
}

/// Saves what the server streams.
pub async fn save(url: &str, path: &Path) -> SnapshotFile {
    let mut maintenance = MaintenanceClient::new(ask::channel(url, READY_MAX));
    let mut stream = maintenance.snapshot(SnapshotRequest::default()).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await {
        bytes.extend_from_slice(&part.unwrap().blob);
    }
    std::fs::write(path, bytes).unwrap();
    let file = SnapshotFile::open(path).unwrap();
    file.verify_digest().unwrap();
    file
}

/// Users, roles, leases and alarms are the same rows, byte for byte.
pub fn same_rows(one: &SnapshotFile, other: &SnapshotFile, context: &str) {
    for bucket in ["alarm", "auth", "authRoles", "authUsers", "lease"] {
        let [a, b] = [one, other].map(|file| rows(&file.database().unwrap(), bucket));
        assert_eq!(a, b, "{context}: {bucket}");
        assert!(!a.is_empty() || bucket == "alarm", "{bucket} is empty");
    }
}

/// The rows of a bucket.
pub fn rows(database: &Database, bucket: &str) -> Vec<(bytes::Bytes, bytes::Bytes)> {
    let found = database.bucket(bucket).unwrap();
    found.map_or_else(Vec::new, |bucket| bucket.rows().unwrap().map(Result::unwrap).collect())
}
