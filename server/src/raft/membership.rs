//! Who takes part in the log: voters, learners and where their peers reach them. Names and client URLs are no part of
//! it; the `cluster` room has them.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use quorate_proto::quoratepb;
use quorate_proto::raftpb::{ConfChange, ConfChangeType};

use crate::cluster::ConfChangeContext;
use crate::storage::AppliedMark;
use crate::types::MemberId;

/// A member as raft sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// URLs at which other members reach it.
    pub peer_urls: Vec<String>,
    /// True while it does not vote.
    pub is_learner: bool,
    /// A voter that does not count towards quorums yet: it was added or promoted, and the leader waits until it has
    /// caught up. etcd counts it at once, and loses its quorum when the second member of two is slow to start.
    pub is_joining: bool,
}

impl Peer {
    /// True when its vote and its log count towards quorums.
    pub fn counts(&self) -> bool {
        !self.is_learner && !self.is_joining
    }
}

/// All members after some entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Members by id.
    pub members: BTreeMap<MemberId, Peer>,
}

impl Membership {
    /// Ids of the voters, ascending, the joining ones among them.
    pub fn voters(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members.iter().filter(|(_, peer)| !peer.is_learner).map(|(id, _)| *id)
    }

    /// Ids of the learners, ascending.
    pub fn learners(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members.iter().filter(|(_, peer)| peer.is_learner).map(|(id, _)| *id)
    }

    /// Ids of the voters that count towards quorums, ascending.
    pub fn counting(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members.iter().filter(|(_, peer)| peer.counts()).map(|(id, _)| *id)
    }

    /// The membership after `change`, by etcd's rules: an addition of a known learner as a voter is a promotion, an
    /// update replaces peer URLs, removal of an unknown member changes nothing.
    ///
    /// # Errors
    /// What is wrong with the change's JSON context.
    pub fn changed_by(&self, change: &ConfChange) -> Result<Membership, String> {
        let mut next = self.clone();
        let id = change.node_id();
        if change.r#type() == ConfChangeType::ConfChangeRemoveNode {
            next.members.remove(&id);
            return Ok(next);
        }
        let peer_urls = match change.context() {
            [] => None,
            context => {
                let context: ConfChangeContext = serde_json::from_slice(context)
                    .map_err(|error| format!("configuration change of member {id:x}: {error}"))?;
                Some(context.member.peer_urls)
            }
        };
        let peer = next.members.entry(id).or_default();
        match change.r#type() {
            ConfChangeType::ConfChangeAddLearnerNode => peer.is_learner = true,
            ConfChangeType::ConfChangeAddNode => peer.is_learner = false,
            ConfChangeType::ConfChangeUpdateNode | ConfChangeType::ConfChangeRemoveNode => {}
        }
        // A promotion's context may come without URLs; the known ones stay.
        if let Some(urls) = peer_urls.filter(|urls| !urls.is_empty()) {
            peer.peer_urls = urls;
        }
        Ok(next)
    }
}

/// A membership and the entry that put it in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredMembership {
    /// The entry; index 0 where it was in force from the start.
    pub mark: AppliedMark,
    /// Who takes part since.
    pub membership: Membership,
}

impl StoredMembership {
    /// The bytes that a machine keeps with its applied mark, and that a log entry carries in field 1001.
    pub fn encode(&self) -> Bytes {
        self.to_message().encode_to_vec().into()
    }

    /// Reads what [`StoredMembership::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are not a membership.
    pub fn decode(bytes: Bytes) -> Result<StoredMembership, prost::DecodeError> {
        quoratepb::Membership::decode(bytes).map(StoredMembership::from_message)
    }

    pub(super) fn to_message(&self) -> quoratepb::Membership {
        let member = |(id, peer): (&MemberId, &Peer)| quoratepb::MembershipMember {
            id: *id,
            peer_urls: peer.peer_urls.clone(),
            is_learner: peer.is_learner,
            is_joining: peer.is_joining,
        };
        quoratepb::Membership {
            term: self.mark.term,
            index: self.mark.index,
            leader_member_id: self.mark.leader_member_id,
            members: self.membership.members.iter().map(member).collect(),
        }
    }

    pub(super) fn from_message(message: quoratepb::Membership) -> StoredMembership {
        let peer = |member: quoratepb::MembershipMember| {
            let quoratepb::MembershipMember { id, peer_urls, is_learner, is_joining } = member;
            (id, Peer { peer_urls, is_learner, is_joining })
        };
        StoredMembership {
            mark: AppliedMark {
                term: message.term,
                index: message.index,
                leader_member_id: message.leader_member_id,
            },
            membership: Membership { members: message.members.into_iter().map(peer).collect() },
        }
    }
}
