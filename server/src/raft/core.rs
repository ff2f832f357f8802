//! openraft's type parameters: what an entry, a vote and a member are here, and how a submitted proposal is answered.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use openraft::EmptyNode;
use openraft::entry::RaftPayload;
use openraft::errors::ClientWriteError;
use openraft::impls::leader_id_adv;
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use quorate_proto::raftpb::ConfChange;

use super::machine::Command;
use super::membership::{Membership, StoredMembership};
use crate::storage::AppliedMark;
use crate::types::MemberId;

/// openraft's parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Arc<Command>;
    type R = ();
    type NodeId = MemberId;
    type Node = EmptyNode;
    type Term = u64;
    type LeaderId = leader_id_adv::LeaderId<u64, MemberId>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = EntryData;
    type Entry = openraft::Entry<Self::LeaderId, EntryData>;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = SubmissionResponder<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(super) type LeaderId = leader_id_adv::LeaderId<u64, MemberId>;
pub(super) type LogId = openraft::LogId<LeaderId>;
pub(super) type Vote = openraft::Vote<LeaderId>;
pub(super) type Entry = openraft::Entry<LeaderId, EntryData>;
pub(super) type CoreMembership = openraft::Membership<MemberId, EmptyNode>;
pub(super) type CoreStoredMembership = openraft::StoredMembership<LeaderId, MemberId, EmptyNode>;
pub(super) type CoreSnapshotMeta = openraft::SnapshotMeta<LeaderId, MemberId, EmptyNode>;
pub(super) type CoreSnapshot<D> = openraft::Snapshot<LeaderId, MemberId, EmptyNode, D>;

/// The place before the first entry. The log begins with entry 1, as etcd's does; openraft counts from 0, so it is
/// told that entry 0 existed and has been purged.
pub(super) const ORIGIN: LogId = LogId { leader_id: LeaderId { term: 0, node_id: 0 }, index: 0 };

/// A log id from an applied mark.
pub(super) fn log_id(mark: &AppliedMark) -> LogId {
    let leader_id = LeaderId { term: mark.term, node_id: mark.leader_member_id };
    LogId { leader_id, index: mark.index }
}

/// An applied mark from a log id.
pub(super) fn mark(log_id: &LogId) -> AppliedMark {
    let LogId { leader_id, index } = *log_id;
    AppliedMark { term: leader_id.term, index, leader_member_id: leader_id.node_id }
}

/// A configuration change in an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// etcd's description.
    pub(super) change: ConfChange,
    /// Who takes part from this entry on.
    pub(super) after: Membership,
    /// The same for openraft; empty until the entry knows it.
    pub(super) core: CoreMembership,
}

impl Change {
    pub(super) fn new(change: ConfChange, after: Membership) -> Change {
        let core = core_membership(&after);
        Change { change, after, core }
    }
}

/// What openraft needs of a membership: voters that count, and all others that get the log.
pub(super) fn core_membership(membership: &Membership) -> CoreMembership {
    let voters: BTreeSet<MemberId> = membership.counting().collect();
    CoreMembership::new_with_defaults(vec![voters], membership.members.keys().copied())
}

/// The stored membership as openraft wants it.
pub(super) fn core_stored_membership(stored: &StoredMembership) -> CoreStoredMembership {
    if stored.membership.members.is_empty() {
        return CoreStoredMembership::default();
    }
    CoreStoredMembership::new(Some(log_id(&stored.mark)), core_membership(&stored.membership))
}

/// openraft, with our parameters.
pub(super) type Core = openraft::Raft<TypeConfig, super::apply::MachineDoor>;

/// What an entry carries. Cheap to clone: openraft copies entries often.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryData {
    /// The first entry of a new leader.
    Blank,
    /// A request.
    Command(Arc<Command>),
    /// A change of the membership.
    Change(Arc<Change>),
}

impl fmt::Display for EntryData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryData::Blank => write!(f, "blank"),
            EntryData::Command(command) => write!(f, "{command:?}"),
            EntryData::Change(change) => write!(f, "change to {}", change.core),
        }
    }
}

impl RaftPayload for EntryData {
    type D = Arc<Command>;
    type NodeId = MemberId;
    type Node = EmptyNode;

    fn blank() -> Self {
        EntryData::Blank
    }

    fn with_normal(self, data: Arc<Command>) -> Self {
        EntryData::Command(data)
    }

    /// openraft hands back the membership that it was given with this payload; where there was no payload (it has
    /// no call of ours that does so), peer URLs are unknown and stay as the machine knows them.
    fn with_membership(self, membership: CoreMembership) -> Self {
        let (change, after) = match self {
            EntryData::Change(change) => (change.change.clone(), change.after.clone()),
            EntryData::Blank | EntryData::Command(_) => {
                (ConfChange::default(), from_core(&membership))
            }
        };
        EntryData::Change(Arc::new(Change { change, after, core: membership }))
    }

    fn get_membership(&self) -> Option<CoreMembership> {
        match self {
            EntryData::Change(change) => Some(change.core.clone()),
            EntryData::Blank | EntryData::Command(_) => None,
        }
    }
}

fn from_core(core: &CoreMembership) -> Membership {
    let voters: BTreeSet<MemberId> = core.voter_ids().collect();
    let peer = |(id, _): (&MemberId, &EmptyNode)| {
        let is_learner = !voters.contains(id);
        (*id, super::membership::Peer { is_learner, ..Default::default() })
    };
    Membership { members: core.nodes().map(peer).collect::<BTreeMap<_, _>>() }
}

/// What becomes of a proposal that was handed to the leader, as far as the leader can tell before it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// It is certainly not in the log.
    Rejected,
    /// It was in this member's log and was replaced there; another member may still have it.
    Discarded,
}

/// Where setbacks are told: the waiting caller on this member, or the follower that forwarded the proposal.
pub trait SetbackSink: Send + Sync + 'static {
    /// The proposal with this request id has met a setback.
    fn setback(&self, request_id: u64, setback: Setback);
}

/// Hears from openraft what became of a submission. Success is not told here: the caller waits for the outcome by
/// request id.
pub struct SubmissionResponder<T> {
    request_id: u64,
    sink: Arc<dyn SetbackSink>,
    _result: PhantomData<fn(T)>,
}

impl<T> SubmissionResponder<T> {
    pub(super) fn new(request_id: u64, sink: Arc<dyn SetbackSink>) -> Self {
        SubmissionResponder { request_id, sink, _result: PhantomData }
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for SubmissionResponder<T> {
    fn on_complete(self, result: T) {
        let result: &dyn Any = &result;
        // openraft uses the type for client writes only.
        if let Some(Err(error)) = result.downcast_ref::<ClientWriteResult<TypeConfig>>() {
            let setback = match error {
                ClientWriteError::LogEntryDiscarded(_) => Setback::Discarded,
                _ => Setback::Rejected,
            };
            self.sink.setback(self.request_id, setback);
        }
    }
}
