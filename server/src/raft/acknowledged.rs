//! What a leader has had acknowledged by a follower, told to it with every append: so a follower that has lost it (its
//! directory was emptied, or put back from an older copy) learns of it and ends, as etcd's does when it is told to commit
//! what it does not have. What is replicated, and up to where, is openraft's matter.

use super::core::{LogId, Vote};
use parking_lot::Mutex;
use quorate_proto::quoratepb as pb;
use std::sync::Arc;

/// The leader's side: the last entry that one follower has acknowledged under one vote.
#[derive(Clone, Debug, Default)]
pub(super) struct Acknowledged(Arc<Mutex<Option<(Vote, LogId)>>>);

impl Acknowledged {
    /// Forgets it, for a member that joins under an id that was known.
    pub(super) fn clear(&self) {
        *self.0.lock() = None;
    }

    /// Notes an answer to a request that was sent under `vote`. What was acknowledged under another vote does not count:
    /// a leader of a term between may have had it cut away.
    pub(super) fn note(&self, vote: &Vote, stored: &LogId) {
        let mut known = self.0.lock();
        match &mut *known {
            Some((of, last)) if of == vote => {
                if last.index < stored.index {
                    *last = *stored;
                }
            }
            Some((of, _)) if of.leader_id.term > vote.leader_id.term => {}
            _ => *known = Some((*vote, *stored)),
        }
    }

    /// What was acknowledged under `vote`.
    pub(super) fn under(&self, vote: &Vote) -> Option<LogId> {
        self.0.lock().as_ref().filter(|(of, _)| of == vote).map(|(_, last)| *last)
    }
}

/// The follower's side: what the leader of one stream of appends has been told.
#[derive(Clone, Debug, Default)]
pub(super) struct Claimed(Arc<Mutex<Option<pb::LogId>>>);

impl Claimed {
    /// Notes what a request says.
    pub(super) fn note(&self, request: &pb::AppendRequest) {
        if request.acknowledged.is_some() {
            *self.0.lock() = request.acknowledged;
        }
    }

    /// Why this member must end, if it misses an entry up to one that it has acknowledged. Only asked where openraft has
    /// found the entry at `conflict` missing or another one, and so has accepted the leader's vote.
    pub(super) fn lost(&self, conflict: &LogId) -> Option<String> {
        let claimed = (*self.0.lock())?;
        (conflict.index <= claimed.index).then(|| {
            format!(
                "this member has lost entries that it had acknowledged: its leader had entry {} of term {} from it, and entry \
                 {} is not in its log. Its data directory was emptied, damaged, or put back from an older copy. Remove this \
                 member from the cluster and add it again with an empty directory.",
                claimed.index, claimed.term, conflict.index
            )
        })
    }
}
