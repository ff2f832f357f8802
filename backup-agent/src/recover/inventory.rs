//! What a recovery starts from: the survivor's data directory, read without changing it, or a backup's manifest.

use std::path::Path;

use prost::Message;
use quorate_etcd_files::datadir::{DataDir, Survivor};
use quorate_etcd_files::rows::{Member, bucket};
use quorate_etcd_files::snapfile;
use quorate_proto::etcdserverpb::{InternalRaftRequest, TxnRequest, request_op};
use quorate_proto::raftpb;
use serde::Serialize;

use super::quorate_dir;
use crate::error::{AgentError, Result};
use crate::manifest::{Manifest, MemberFacts};
use crate::take::file_error;

/// Tail entries that are described one by one; further ones are only counted.
pub(super) const TAIL_SHOWN_MAX: usize = 20;
/// Longest key shown.
const KEY_SHOWN_MAX: usize = 60;

/// What is there to recover from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Inventory {
    /// A survivor's data directory.
    Survivor(SurvivorFacts),
    /// A backup.
    Backup(Box<BackupFacts>),
}

/// Whose data directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerKind {
    /// etcd's.
    Etcd,
    /// Quorate's.
    Quorate,
}

/// What a survivor's data directory holds.
#[derive(Clone, Debug, Serialize)]
pub struct SurvivorFacts {
    /// Whose data directory it is.
    pub server: ServerKind,
    /// Cluster id, hexadecimal.
    pub cluster_id: String,
    /// Member id, hexadecimal.
    pub member_id: String,
    /// Members as the database knows them.
    pub members: Vec<MemberFacts>,
    /// Newest revision in the database, before the log is replayed; `None` where only the server can read it.
    pub database_revision: Option<i64>,
    /// Entries in the log that are not in the database yet, the tail included. A copied database alone loses them.
    pub n_pending: Option<u64>,
    /// Index of the last entry known to be committed.
    pub commit_index: u64,
    /// Index of the last entry.
    pub last_index: u64,
    /// Entries behind the commit index, as far as they are shown.
    pub tail: Vec<TailEntry>,
    /// What the disk has lost of the log although it had been synced, in words; what is left is recovered.
    pub lost: Option<String>,
}

/// One entry that is not known to be committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TailEntry {
    /// Log index.
    pub index: u64,
    /// What it would do, for example `put "/registry/x"`.
    pub what: String,
}

/// What is known of a backup.
#[derive(Clone, Debug, Serialize)]
pub struct BackupFacts {
    /// Its manifest.
    pub manifest: Manifest,
    /// Seconds since it was taken: every write since then is lost.
    pub age_seconds: i64,
}

impl Inventory {
    /// Cluster id, hexadecimal.
    pub fn cluster_id(&self) -> &str {
        match self {
            Self::Survivor(survivor) => &survivor.cluster_id,
            Self::Backup(backup) => &backup.manifest.cluster_id,
        }
    }

    /// The old cluster's members.
    pub fn members(&self) -> &[MemberFacts] {
        match self {
            Self::Survivor(survivor) => &survivor.members,
            Self::Backup(backup) => &backup.manifest.members,
        }
    }

    /// The member the data is of.
    pub fn source_member(&self) -> Option<&MemberFacts> {
        let id = match self {
            Self::Survivor(survivor) => &survivor.member_id,
            Self::Backup(backup) => &backup.manifest.source.member_id,
        };
        self.members().iter().find(|member| member.id == *id)
    }
}

impl SurvivorFacts {
    /// Entries not known to be committed.
    pub fn n_tail(&self) -> u64 {
        self.last_index.saturating_sub(self.commit_index)
    }
}

/// Reads a survivor's directory, on a blocking thread.
///
/// # Errors
/// A server has it open, or database or log are damaged or do not meet.
pub async fn read_survivor(path: &Path, wal_dir: Option<&Path>) -> Result<SurvivorFacts> {
    let data_dir = DataDir::new(path, wal_dir);
    let read = tokio::task::spawn_blocking(move || read_blocking(&data_dir));
    read.await.map_err(|_| AgentError::Cancelled)?
}

fn read_blocking(data_dir: &DataDir) -> Result<SurvivorFacts> {
    if quorate_dir::is_quorate(data_dir) {
        return quorate_dir::read(data_dir);
    }
    let is_idle = data_dir.is_idle().map_err(|error| {
        AgentError::refused(
            format!("{} is no data directory of etcd: {error}", data_dir.root().display()),
            "Give the directory that holds member/, as --data-dir of the member was.",
        )
    })?;
    if !is_idle {
        return Err(AgentError::refused(
            format!("a running server has {} open", data_dir.root().display()),
            "Stop it first. While it runs, `backup now` takes a snapshot from it even without a quorum.",
        ));
    }
    let survivor = Survivor::open(data_dir).map_err(file_error)?;
    let replay = survivor.replay();
    let n_tail = survivor.tail_len();
    let tail = survivor.tail().take(TAIL_SHOWN_MAX).map(|entry| Ok(describe(&entry?)));
    let tail: quorate_etcd_files::Result<Vec<_>> = tail.collect();
    let last_index = replay.last_index().max(survivor.consistent_index());
    Ok(SurvivorFacts {
        server: ServerKind::Etcd,
        cluster_id: format!("{:x}", replay.metadata.cluster_id()),
        member_id: format!("{:x}", replay.metadata.node_id()),
        members: read_members(&survivor).map_err(file_error)?,
        database_revision: Some(
            snapfile::current_revision(survivor.database()).map_err(file_error)?,
        ),
        n_pending: Some(last_index - survivor.consistent_index()),
        commit_index: last_index - n_tail,
        last_index,
        tail: tail.map_err(file_error)?,
        lost: survivor.lost().map(|lost| lost.to_string()),
    })
}

fn read_members(survivor: &Survivor) -> quorate_etcd_files::Result<Vec<MemberFacts>> {
    let Some(rows) = survivor.database().bucket(bucket::MEMBERS)? else { return Ok(Vec::new()) };
    let mut members = Vec::new();
    for row in rows.rows()? {
        let (_, json) = row?;
        if let Some(member) = Member::from_json(&json) {
            members.push(member_facts(member));
        }
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// A member as it is shown.
pub(super) fn member_facts(member: Member) -> MemberFacts {
    MemberFacts {
        id: format!("{:x}", member.id),
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        is_learner: member.is_learner,
    }
}

/// What an entry would do, in words.
pub(super) fn describe(entry: &raftpb::Entry) -> TailEntry {
    let index = entry.index();
    if entry.r#type() != raftpb::EntryType::EntryNormal {
        return TailEntry { index, what: "change the members".into() };
    }
    let data = entry.data.clone().unwrap_or_default();
    if data.is_empty() {
        return TailEntry { index, what: "nothing (a new leader's first entry)".into() };
    }
    let what = match InternalRaftRequest::decode(data) {
        Ok(request) => describe_request(&request),
        Err(_) => "an entry that cannot be read".into(),
    };
    TailEntry { index, what }
}

fn describe_request(request: &InternalRaftRequest) -> String {
    if let Some(put) = &request.put {
        return format!("put {}", key(&put.key));
    }
    if let Some(delete) = &request.delete_range {
        let end = if delete.range_end.is_empty() { "" } else { " and a range behind it" };
        return format!("delete {}{end}", key(&delete.key));
    }
    if let Some(txn) = &request.txn {
        return format!("txn on {}", txn_keys(txn).join(", "));
    }
    let kinds = [
        (request.lease_grant.is_some(), "grant a lease"),
        (request.lease_revoke.is_some(), "revoke a lease"),
        (request.lease_checkpoint.is_some(), "checkpoint leases"),
        (request.compaction.is_some(), "compact"),
        (request.alarm.is_some(), "set or clear an alarm"),
        (request.cluster_member_attr_set.is_some(), "publish a member's client URLs"),
        (request.cluster_version_set.is_some(), "set the cluster version"),
    ];
    let known = kinds.iter().find(|(is_it, _)| *is_it);
    known.map_or("a change of users, roles or settings", |(_, what)| what).to_owned()
}

fn txn_keys(txn: &TxnRequest) -> Vec<String> {
    let mut keys = Vec::new();
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(request_op::Request::RequestPut(put)) => keys.push(key(&put.key)),
            Some(request_op::Request::RequestDeleteRange(delete)) => keys.push(key(&delete.key)),
            Some(request_op::Request::RequestTxn(inner)) => keys.extend(txn_keys(inner)),
            Some(request_op::Request::RequestRange(_)) | None => {}
        }
    }
    keys
}

/// A key for people: quoted, cut where it is long.
fn key(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().take(KEY_SHOWN_MAX).collect();
    format!("{text:?}")
}
