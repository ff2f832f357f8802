//! Entries as etcd writes them and as openraft knows them, one from the other.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use quorate_etcd_files::wal::EntryParts;
use quorate_proto::raftpb::{self, ConfChange, EntryType};

use crate::raft::core::{Change, Entry, EntryData, LeaderId, LogId};
use crate::raft::machine::Command;
use crate::raft::membership::{Membership, StoredMembership};

/// The log id in an entry. Entries that etcd wrote name no leader: it is then 0 on all members alike.
pub(in crate::raft) fn entry_log_id(entry: &raftpb::Entry) -> LogId {
    let leader_id = LeaderId { term: entry.term(), node_id: entry.leader_member_id() };
    LogId { leader_id, index: entry.index() }
}

/// The entry for openraft. `known` is the membership after it, for configuration entries that do not carry theirs.
///
/// # Errors
/// What the entry is that this version does not understand.
pub(in crate::raft) fn from_wire(
    entry: raftpb::Entry,
    known: Option<&Membership>,
) -> Result<Entry, String> {
    let log_id = entry_log_id(&entry);
    let index = log_id.index;
    let payload = match entry.r#type() {
        EntryType::EntryNormal => match entry.data {
            None => EntryData::Blank,
            Some(data) if data.is_empty() => EntryData::Blank,
            Some(data) => EntryData::Command(Arc::new(Command::encoded(data))),
        },
        EntryType::EntryConfChange => {
            let after = match (membership_in(&entry), known) {
                (Some(membership), _) => membership?,
                (None, Some(known)) => known.clone(),
                (None, None) => return Err(format!("entry {index} does not say who takes part")),
            };
            EntryData::Change(Arc::new(Change::new(conf_change(&entry)?, after)))
        }
        EntryType::EntryConfChangeV2 => {
            return Err(format!(
                "entry {index} is a joint configuration change, which etcd never writes"
            ));
        }
    };
    Ok(Entry { log_id, payload })
}

/// The configuration change in an entry.
pub(in crate::raft) fn conf_change(entry: &raftpb::Entry) -> Result<ConfChange, String> {
    let data = entry.data.clone().unwrap_or_default();
    ConfChange::decode(data).map_err(|error| format!("entry {}: {error}", entry.index()))
}

/// The membership that an entry carries, if it carries one.
pub(in crate::raft) fn membership_in(entry: &raftpb::Entry) -> Option<Result<Membership, String>> {
    let bytes = entry.membership.clone()?;
    let stored = StoredMembership::decode(bytes);
    Some(stored.map(|s| s.membership).map_err(|error| format!("entry {}: {error}", entry.index())))
}

/// The encoded parts of an entry that are not there yet as bytes.
#[derive(Default)]
pub(super) struct Encoded {
    kind: EntryType,
    data: Bytes,
    membership: Option<Bytes>,
}

impl Encoded {
    pub(super) fn of(entry: &Entry) -> Encoded {
        match &entry.payload {
            EntryData::Blank => Encoded::default(),
            EntryData::Command(command) => {
                Encoded { data: command.bytes().clone(), ..Encoded::default() }
            }
            EntryData::Change(change) => Encoded {
                kind: EntryType::EntryConfChange,
                data: encode_change(&change.change),
                membership: Some(encode_membership(&change.after)),
            },
        }
    }

    pub(super) fn parts(&self, log_id: &LogId) -> EntryParts<'_> {
        EntryParts {
            kind: self.kind,
            term: log_id.leader_id.term,
            index: log_id.index,
            data: &self.data,
            leader_member_id: Some(log_id.leader_id.node_id),
            membership: self.membership.as_deref(),
        }
    }
}

/// The entry for the wire.
pub(in crate::raft) fn to_wire(entry: &Entry) -> raftpb::Entry {
    let Encoded { kind, data, membership } = Encoded::of(entry);
    raftpb::Entry {
        r#type: Some(kind as i32),
        term: Some(entry.log_id.leader_id.term),
        index: Some(entry.log_id.index),
        data: (!data.is_empty()).then_some(data),
        leader_member_id: Some(entry.log_id.leader_id.node_id),
        membership,
    }
}

/// Bytes that an entry takes in memory and on the wire, roughly.
pub(in crate::raft) fn size(entry: &Entry) -> usize {
    const AROUND: usize = 96;
    AROUND
        + match &entry.payload {
            EntryData::Blank => 0,
            EntryData::Command(command) => command.bytes().len(),
            EntryData::Change(change) => 256 * change.after.members.len(),
        }
}

/// etcd's readers expect all scalars of a change to be written.
fn encode_change(change: &ConfChange) -> Bytes {
    let explicit = ConfChange {
        id: Some(change.id()),
        r#type: Some(change.r#type() as i32),
        node_id: Some(change.node_id()),
        context: change.context.clone(),
    };
    explicit.encode_to_vec().into()
}

/// Inside an entry the membership carries no mark: it is that of the entry.
fn encode_membership(membership: &Membership) -> Bytes {
    let stored = StoredMembership { membership: membership.clone(), ..StoredMembership::default() };
    stored.encode()
}
