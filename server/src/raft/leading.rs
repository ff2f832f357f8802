//! What only the leader can do, for itself and for followers that ask: read indexes and configuration changes.

use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::{Precondition, ReadPolicy};
use quorate_proto::raftpb::{ConfChange, ConfChangeType};
use tokio::sync::Mutex;

use super::apply::Progress;
use super::core::Core;
use super::core::{Change, EntryData, core_membership, core_stored_membership};
use super::membership::Membership;
use crate::cluster::{ConfChangeContext, Member};
use crate::types::MemberId;

/// A joining voter counts once it is at most this many entries behind.
const CAUGHT_UP: u64 = 64;

/// Why the leader did not do it. It is certain that nothing is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This member does not lead (any more), or has no quorum at present: worth asking again.
    NotNow,
    /// The change cannot be made.
    Invalid(String),
    /// The change may be in the log: leadership ended in between.
    Unknown,
    /// openraft has ended.
    Stopped,
}

/// The leader's side.
pub(super) struct Leading {
    pub(super) core: Core,
    pub(super) progress: Arc<Progress>,
    /// Held over a whole change, so that each is based on the one before.
    pub(super) change: Mutex<()>,
}

impl Leading {
    /// An index at which a read is linearizable: all that was acknowledged before this call is at or below it.
    pub(super) async fn read_index(&self) -> Result<u64, Refusal> {
        match self.core.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::APIError(
                LinearizableReadError::ForwardToLeader(_)
                | LinearizableReadError::QuorumNotEnough(_),
            )) => Err(Refusal::NotNow),
            Err(RaftError::Fatal(_)) => Err(Refusal::Stopped),
        }
    }

    /// Appends a configuration change and waits until it is applied here.
    pub(super) async fn change(&self, change: ConfChange) -> Result<(), Refusal> {
        let _one_at_a_time = self.change.lock().await;
        let base = self.settled().await?;
        let mut after = base.membership.changed_by(&change).map_err(Refusal::Invalid)?;
        if change.r#type() == ConfChangeType::ConfChangeAddNode {
            let counts =
                |m: &Membership| m.members.get(&change.node_id()).is_some_and(|p| p.counts());
            if let Some(peer) = after.members.get_mut(&change.node_id()) {
                peer.is_joining = !counts(&base.membership);
            }
        }
        self.append(base, change, after).await
    }

    /// Lets voters count that have caught up. Returns at once where there are none.
    pub(super) async fn welcome(&self) -> Result<(), Refusal> {
        let joining: Vec<MemberId> = {
            let membership = self.progress.membership.borrow();
            let members = membership.membership.members.iter();
            members.filter(|(_, peer)| peer.is_joining).map(|(id, _)| *id).collect()
        };
        for id in joining {
            if self.has_caught_up(id) {
                self.welcome_one(id).await?;
            }
        }
        Ok(())
    }

    async fn welcome_one(&self, id: MemberId) -> Result<(), Refusal> {
        let _one_at_a_time = self.change.lock().await;
        let base = self.settled().await?;
        let mut after = base.membership.clone();
        let Some(peer) = after.members.get_mut(&id).filter(|peer| peer.is_joining) else {
            return Ok(());
        };
        peer.is_joining = false;
        // To etcd's eyes: an update of the member that changes nothing.
        let member = Member { id, peer_urls: peer.peer_urls.clone(), ..Member::default() };
        let context = ConfChangeContext { member, is_promote: false };
        let context =
            serde_json::to_vec(&context).map_err(|error| Refusal::Invalid(error.to_string()))?;
        let change = ConfChange {
            r#type: Some(ConfChangeType::ConfChangeUpdateNode as i32),
            node_id: Some(id),
            context: Some(context.into()),
            ..ConfChange::default()
        };
        tracing::info!(
            member = format_args!("{id:x}"),
            "a new voter has caught up and counts from now on"
        );
        self.append(base, change, after).await
    }

    fn has_caught_up(&self, id: MemberId) -> bool {
        let metrics = self.core.data_metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log.map_or(0, |log_id| log_id.index);
        let matched =
            metrics.replication.as_ref().and_then(|peers| peers.get(&id).copied().flatten());
        matched.is_some_and(|log_id| log_id.index + CAUGHT_UP >= last)
    }

    /// The membership that is in force, once everything that an earlier leader left in the log is applied here.
    async fn settled(&self) -> Result<super::membership::StoredMembership, Refusal> {
        let index = self.read_index().await?;
        let mut applied = self.progress.applied.subscribe();
        applied.wait_for(|mark| mark.index >= index).await.map_err(|_| Refusal::Stopped)?;
        Ok(self.progress.membership.borrow().as_ref().clone())
    }

    async fn append(
        &self,
        base: super::membership::StoredMembership,
        change: ConfChange,
        after: Membership,
    ) -> Result<(), Refusal> {
        let last_membership_log_id = *core_stored_membership(&base).log_id();
        let core = core_membership(&after);
        let payload = EntryData::Change(Arc::new(Change::new(change, after)));
        let condition = Precondition::LastMembershipLogId { last_membership_log_id };
        match self.core.append_membership(core, payload, [condition]).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(match error {
                ClientWriteError::ForwardToLeader(_) => Refusal::NotNow,
                ClientWriteError::LogEntryDiscarded(_) => Refusal::Unknown,
                error => Refusal::Invalid(error.to_string()),
            }),
            Err(RaftError::Fatal(_)) => Err(Refusal::Stopped),
        }
    }
}
