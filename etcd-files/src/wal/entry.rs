//! A log entry as borrowed fields, and its encoding around the data without copying the data.

use quorate_proto::raftpb;

use super::frame::push_varint;

/// The fields of an entry, borrowed: the fast way in.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryParts<'a> {
    /// Normal or configuration change.
    pub kind: raftpb::EntryType,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// Its index, from 1.
    pub index: u64,
    /// The command; empty for a leader's first entry.
    pub data: &'a [u8],
    /// Quorate's field 1000, written where not `None`.
    pub leader_member_id: Option<u64>,
    /// Quorate's field 1001, written where not `None`.
    pub membership: Option<&'a [u8]>,
}

impl<'a> From<&'a raftpb::Entry> for EntryParts<'a> {
    fn from(entry: &'a raftpb::Entry) -> EntryParts<'a> {
        EntryParts {
            kind: entry.r#type(),
            term: entry.term(),
            index: entry.index(),
            data: entry.data(),
            leader_member_id: entry.leader_member_id,
            membership: entry.membership.as_deref(),
        }
    }
}

impl EntryParts<'_> {
    /// Encodes what stands before and behind the data in a `raftpb.Entry`. Scalars are always written, as etcd does.
    pub(super) fn encode_around(&self, head: &mut Vec<u8>, tail: &mut Vec<u8>) {
        head.clear();
        head.extend_from_slice(&[0x08, self.kind as i32 as u8, 0x10]);
        push_varint(head, self.term);
        head.push(0x18);
        push_varint(head, self.index);
        if !self.data.is_empty() {
            head.push(0x22);
            push_varint(head, self.data.len() as u64);
        }
        tail.clear();
        if let Some(leader) = self.leader_member_id {
            push_varint(tail, 1000 << 3);
            push_varint(tail, leader);
        }
        if let Some(membership) = self.membership {
            push_varint(tail, 1001 << 3 | 2);
            push_varint(tail, membership.len() as u64);
            tail.extend_from_slice(membership);
        }
    }
}
