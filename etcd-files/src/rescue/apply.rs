//! Applies one log entry to the state. What etcd would have answered with an error changes nothing here either; what
//! cannot be applied faithfully stops the rescue rather than be guessed.

use bytes::Bytes;
use prost::Message;
use quorate_proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, InternalRaftRequest, LeaseCheckpointRequest,
    LeaseGrantRequest, PutRequest, TxnRequest, alarm_request::AlarmAction, request_op::Request,
};
use quorate_proto::{etcdserverpb, leasepb, raftpb};

use super::state::State;
use super::store::Changes;
use super::txn::{self, Refusal, check_put};
use super::{auth, permission};
use crate::decode_request;
use crate::error::Result;
use crate::rows::{Revision, bucket, lease_key, meta};

/// Longest lease that etcd grants, in seconds.
const TTL_MAX: i64 = 9_000_000_000;
/// Shortest lease of a server with default timings (one and a half election timeouts, rounded up), in seconds.
const TTL_MIN: i64 = 2;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is in the state now, or had nothing to change.
    Done,
    /// etcd answered it with this error.
    Refused(Refusal),
    /// It cannot be applied here; the reason reads after "entry 7: ".
    Impossible(&'static str),
}

/// Applies an entry.
pub(super) fn apply(state: &mut State<'_>, entry: &raftpb::Entry) -> Result<Applied> {
    let data = entry.data.clone().unwrap_or_default();
    // Membership is not carried over, and a new leader's first entry is empty.
    if entry.r#type() != raftpb::EntryType::EntryNormal || data.is_empty() {
        return Ok(Applied::Done);
    }
    let Ok(request) = decode_request(data) else {
        return Ok(Applied::Impossible("it is of a kind that is not known"));
    };
    if let Some(applied) = auth::apply(state, &request) {
        return Ok(applied);
    }
    if let Some(refusal) = permission::check(state, &request) {
        return Ok(Applied::Refused(refusal));
    }
    let refusal = match request {
        InternalRaftRequest { put: Some(put), .. } => apply_put(state, &put)?,
        InternalRaftRequest { delete_range: Some(delete), .. } => {
            if state.has_alarm(AlarmType::Corrupt) {
                return Ok(Applied::Refused("corrupt cluster"));
            }
            let mut changes = Changes::begin(state);
            changes.delete(&delete.key, &delete.range_end);
            changes.finish();
            None
        }
        InternalRaftRequest { txn: Some(txn), .. } => apply_txn(state, &txn)?,
        InternalRaftRequest { compaction: Some(compaction), .. } => compact(state, &compaction),
        InternalRaftRequest { lease_grant: Some(grant), .. } => grant_lease(state, &grant),
        InternalRaftRequest { lease_revoke: Some(revoke), .. } => revoke_lease(state, revoke.id),
        InternalRaftRequest { lease_checkpoint: Some(checkpoint), .. } => {
            checkpoint_leases(state, &checkpoint);
            None
        }
        InternalRaftRequest { alarm: Some(alarm), .. } => {
            change_alarm(state, &alarm);
            None
        }
        InternalRaftRequest { cluster_version_set: Some(set), .. } => {
            state.change(bucket::CLUSTER, meta::CLUSTER_VERSION, Some(set.ver.into_bytes()));
            None
        }
        InternalRaftRequest { downgrade_info_set: Some(set), .. } => {
            let json = serde_json::json!({ "target-version": set.ver, "enabled": set.enabled });
            state.change(bucket::CLUSTER, b"downgrade", Some(json.to_string().into_bytes()));
            None
        }
        // Names and addresses of members, reads, and the no-op requests of newer releases.
        _ => None,
    };
    Ok(refusal.map_or(Applied::Done, Applied::Refused))
}

fn apply_put(state: &mut State<'_>, put: &PutRequest) -> Result<Option<Refusal>> {
    if let Some(refusal) = alarm_against_growth(state).or_else(|| check_put(state, put)) {
        return Ok(Some(refusal));
    }
    let mut changes = Changes::begin(state);
    changes.put(put)?;
    changes.finish();
    Ok(None)
}

fn apply_txn(state: &mut State<'_>, request: &TxnRequest) -> Result<Option<Refusal>> {
    if state.has_alarm(AlarmType::Corrupt) {
        return Ok(Some("corrupt cluster"));
    }
    if state.has_alarm(AlarmType::Nospace) && has_put(request) {
        return Ok(Some("mvcc: database space exceeded"));
    }
    txn::apply(state, request)
}

fn has_put(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|operation| match &operation.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(inner)) => has_put(inner),
        _ => false,
    })
}

fn alarm_against_growth(state: &State<'_>) -> Option<Refusal> {
    if state.has_alarm(AlarmType::Corrupt) {
        return Some("corrupt cluster");
    }
    state.has_alarm(AlarmType::Nospace).then_some("mvcc: database space exceeded")
}

/// Marks the compaction as begun; whoever starts on the snapshot resumes it.
fn compact(state: &mut State<'_>, request: &CompactionRequest) -> Option<Refusal> {
    if state.has_alarm(AlarmType::Corrupt) {
        return Some("corrupt cluster");
    }
    if request.revision <= state.compact_revision {
        return Some("mvcc: required revision has been compacted");
    }
    if request.revision > state.revision {
        return Some("mvcc: required revision is a future revision");
    }
    state.compact_revision = request.revision;
    let mark = Revision { main: request.revision, sub: 0 }.encode();
    state.change(bucket::META, meta::SCHEDULED_COMPACT, Some(mark.to_vec()));
    None
}

fn grant_lease(state: &mut State<'_>, request: &LeaseGrantRequest) -> Option<Refusal> {
    if let Some(refusal) = alarm_against_growth(state) {
        return Some(refusal);
    }
    if request.id == 0 {
        return Some("requested lease not found");
    }
    if request.ttl > TTL_MAX {
        return Some("too large lease TTL");
    }
    if state.leases.contains_key(&request.id) {
        return Some("lease already exists");
    }
    let lease = leasepb::Lease { id: request.id, ttl: request.ttl.max(TTL_MIN), remaining_ttl: 0 };
    put_lease(state, lease);
    None
}

fn put_lease(state: &mut State<'_>, lease: leasepb::Lease) {
    state.change(bucket::LEASE, &lease_key(lease.id), Some(lease.encode_to_vec()));
    state.leases.insert(lease.id, lease);
}

fn revoke_lease(state: &mut State<'_>, id: i64) -> Option<Refusal> {
    if state.has_alarm(AlarmType::Corrupt) {
        return Some("corrupt cluster");
    }
    if state.leases.remove(&id).is_none() {
        return Some("requested lease not found");
    }
    let attached = state.live.iter().filter(|(_, live)| live.lease == id);
    let attached: Vec<Bytes> = attached.map(|(key, _)| key.clone()).collect();
    let mut changes = Changes::begin(state);
    for key in attached {
        changes.delete(&key, &Bytes::new());
    }
    changes.finish();
    state.change(bucket::LEASE, &lease_key(id), None);
    None
}

fn checkpoint_leases(state: &mut State<'_>, request: &LeaseCheckpointRequest) {
    for checkpoint in &request.checkpoints {
        if let Some(lease) = state.leases.get(&checkpoint.id).copied() {
            let remaining_ttl = checkpoint.remaining_ttl;
            put_lease(state, leasepb::Lease { remaining_ttl, ..lease });
        }
    }
}

fn change_alarm(state: &mut State<'_>, request: &AlarmRequest) {
    let alarm = etcdserverpb::AlarmMember { member_id: request.member_id, alarm: request.alarm };
    match request.action() {
        AlarmAction::Activate => {
            state.alarms.insert((alarm.alarm, alarm.member_id));
            state.change(bucket::ALARM, &alarm.encode_to_vec(), Some(Vec::new()));
        }
        AlarmAction::Deactivate => {
            state.alarms.remove(&(alarm.alarm, alarm.member_id));
            state.change(bucket::ALARM, &alarm.encode_to_vec(), None);
        }
        AlarmAction::Get => {}
    }
}
