//! Everything a command can print, with what the formats need besides the message. No formatting.

use quorate_client::proto::etcdserverpb as pb;
use quorate_etcd_files::hash::KvHash;
use quorate_etcd_files::snapfile::Status;
use std::time::Duration;

/// See the file's header.
#[derive(Debug)]
pub enum Answer {
    Get {
        response: pb::RangeResponse,
        value_only: bool,
    },
    Put(pb::PutResponse),
    Del(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Watch(pb::WatchResponse),
    LeaseGrant(pb::LeaseGrantResponse),
    LeaseRevoke {
        id: i64,
        response: pb::LeaseRevokeResponse,
    },
    LeaseKeepAlive(pb::LeaseKeepAliveResponse),
    LeaseTimeToLive {
        keys: bool,
        response: pb::LeaseTimeToLiveResponse,
    },
    LeaseList(pb::LeaseLeasesResponse),
    Alarm(pb::AlarmResponse),
    MemberAdd(pb::MemberAddResponse),
    MemberRemove {
        id: u64,
        response: pb::MemberRemoveResponse,
    },
    MemberUpdate {
        id: u64,
        response: pb::MemberUpdateResponse,
    },
    MemberPromote {
        id: u64,
        response: pb::MemberPromoteResponse,
    },
    MemberList(pb::MemberListResponse),
    Health(Vec<EndpointHealth>),
    Status(Vec<EndpointStatus>),
    HashKv(Vec<EndpointHash>),
    MoveLeader {
        from: u64,
        to: u64,
        response: pb::MoveLeaderResponse,
    },
    Downgrade {
        verb: &'static str,
        response: pb::DowngradeResponse,
    },
    AuthStatus(pb::AuthStatusResponse),
    /// A user or role command that is answered by nothing but a header; `line` is its simple form.
    Done {
        line: String,
        header: Option<pb::ResponseHeader>,
    },
    UserGet {
        name: String,
        response: pb::AuthUserGetResponse,
    },
    UserList(pb::AuthUserListResponse),
    RoleGet {
        name: String,
        response: pb::AuthRoleGetResponse,
    },
    RoleList(pb::AuthRoleListResponse),
    /// Of a command that prints plain text under the name `etcdctl`, whatever the format: its lines, and what we give
    /// programs to read under our own name.
    Plain {
        lines: Vec<String>,
        fields: Vec<(&'static str, serde_json::Value)>,
    },
    /// Of a snapshot file.
    SnapshotStatus(Status),
    /// Of a snapshot or database file.
    FileHash(KvHash),
}

/// Health of one endpoint.
#[derive(Debug)]
pub struct EndpointHealth {
    pub endpoint: String,
    pub is_healthy: bool,
    pub took: Duration,
    /// Empty when healthy.
    pub error: String,
}

/// Status of one endpoint.
#[derive(Debug)]
pub struct EndpointStatus {
    pub endpoint: String,
    pub response: pb::StatusResponse,
}

/// Hash of one endpoint.
#[derive(Debug)]
pub struct EndpointHash {
    pub endpoint: String,
    pub response: pb::HashKvResponse,
}

/// Rows of `member list`, shared by the simple and the table form.
pub(super) fn member_rows(response: &pb::MemberListResponse) -> Vec<Vec<String>> {
    let row = |member: &pb::Member| {
        let state = if member.name.is_empty() { "unstarted" } else { "started" };
        vec![
            format!("{:x}", member.id),
            state.to_owned(),
            member.name.clone(),
            member.peer_ur_ls.join(","),
            member.client_ur_ls.join(","),
            member.is_learner.to_string(),
        ]
    };
    response.members.iter().map(row).collect()
}

/// Rows of `endpoint status`.
pub(super) fn status_rows(list: &[EndpointStatus]) -> Vec<Vec<String>> {
    let row = |item: &EndpointStatus| {
        let status = &item.response;
        let header = status.header.unwrap_or_default();
        let (size, in_use) = (status.db_size, status.db_size_in_use);
        let unused = (size - in_use) as f64 / size as f64 * 100.0;
        let downgrade = status.downgrade_info.clone().unwrap_or_default();
        let bytes = |value: i64| crate::go::format_size(value.unsigned_abs());
        vec![
            item.endpoint.clone(),
            format!("{:x}", header.member_id),
            status.version.clone(),
            status.storage_version.clone(),
            bytes(size),
            bytes(in_use),
            format!("{unused:.0}%"),
            bytes(status.db_size_quota),
            (status.leader == header.member_id).to_string(),
            status.is_learner.to_string(),
            status.raft_term.to_string(),
            status.raft_index.to_string(),
            status.raft_applied_index.to_string(),
            status.errors.join(", "),
            downgrade.target_version,
            downgrade.enabled.to_string(),
        ]
    };
    list.iter().map(row).collect()
}

/// Rows of `endpoint hashkv`.
pub(super) fn hash_rows(list: &[EndpointHash]) -> Vec<Vec<String>> {
    let row = |item: &EndpointHash| {
        let (hash, revision) = (item.response.hash, item.response.hash_revision);
        vec![item.endpoint.clone(), hash.to_string(), revision.to_string()]
    };
    list.iter().map(row).collect()
}

/// The row of `snapshot status`.
pub(super) fn snapshot_row(status: &Status) -> Vec<String> {
    vec![
        format!("{:x}", status.hash),
        status.revision.to_string(),
        status.live_keys.to_string(),
        crate::go::format_size(status.size),
        status.version.clone(),
    ]
}

/// The row of `hashkv` of a file.
pub(super) fn file_hash_row(hash: &KvHash) -> Vec<String> {
    [i64::from(hash.hash), hash.hash_revision, hash.compact_revision]
        .map(|n| n.to_string())
        .to_vec()
}

/// Rows of `endpoint health`.
pub(super) fn health_rows(list: &[EndpointHealth]) -> Vec<Vec<String>> {
    let row = |item: &EndpointHealth| {
        vec![
            item.endpoint.clone(),
            item.is_healthy.to_string(),
            crate::go::format_duration(item.took),
            item.error.clone(),
        ]
    };
    list.iter().map(row).collect()
}
