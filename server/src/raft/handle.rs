//! The handle that the other rooms hold: what raft knows, and what it can be asked to do. Proposing and reading are in
//! files of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use quorate_proto::quoratepb as pb;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::apply::Progress;
use super::config::{Observer, RaftConfig};
use super::core::Core;
use super::error::{Fatal, ForwardError, TransferError};
use super::leader::{LeaderInfo, Role};
use super::leading::Leading;
use super::log::LogStore;
use super::membership::StoredMembership;
use super::read::ReadWaiter;
use super::relay::RelayItem;
use super::transport::{ForwardHandler, PeerHandler, PeerStats, SharedTransport};
use super::waiters::{RequestIds, Waiters};
use crate::types::MemberId;

/// Everything that clones of the handle share.
pub(super) struct Shared<O> {
    pub(super) config: RaftConfig,
    pub(super) core: Core,
    pub(super) log: LogStore,
    pub(super) waiters: Arc<Waiters<O>>,
    pub(super) ids: RequestIds,
    pub(super) progress: Arc<Progress>,
    pub(super) transport: SharedTransport,
    pub(super) leader: watch::Receiver<LeaderInfo>,
    pub(super) leading: Arc<Leading>,
    pub(super) relay: mpsc::Sender<RelayItem>,
    pub(super) reads: mpsc::Sender<ReadWaiter>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) handler: Arc<dyn PeerHandler>,
    pub(super) forward: Arc<OnceLock<Arc<dyn ForwardHandler>>>,
    pub(super) removed: watch::Sender<bool>,
    pub(super) stopping: CancellationToken,
    pub(super) threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

/// A running member of the log. Cheap to clone; all clones are the same member.
pub struct Raft<O> {
    pub(super) shared: Arc<Shared<O>>,
}

impl<O> Clone for Raft<O> {
    fn clone(&self) -> Self {
        Raft { shared: self.shared.clone() }
    }
}

/// A look at everything at once, for `Status` and for metrics.
#[derive(Clone, Debug, Default)]
pub struct RaftStatus {
    /// The leader, while it is heard.
    pub leader: Option<MemberId>,
    /// The present term.
    pub term: u64,
    /// What this member is.
    pub role: Role,
    /// Index of the last entry in the log.
    pub last_index: u64,
    /// Index of the last entry known to be committed.
    pub commit_index: u64,
    /// Index of the last applied entry.
    pub applied_index: u64,
    /// Proposals of this member without an outcome.
    pub pending_proposals: usize,
}

impl<O: Send + 'static> Raft<O> {
    /// Index of the last entry that this member has applied.
    pub fn applied_index(&self) -> u64 {
        self.shared.progress.applied.borrow().index
    }

    /// Follows the membership as this member has applied it.
    pub fn watch_membership(&self) -> watch::Receiver<Arc<StoredMembership>> {
        self.shared.progress.membership.subscribe()
    }

    /// Waits until this member has applied entry `index`; false when it stops before.
    pub async fn wait_applied(&self, index: u64) -> bool {
        let mut applied = self.shared.progress.applied.subscribe();
        let stopping = self.shared.stopping.cancelled();
        tokio::select! {
            reached = applied.wait_for(|mark| mark.index >= index) => reached.is_ok(),
            () = stopping => false,
        }
    }

    /// Index of the last entry that this member knows to be committed.
    pub fn commit_index(&self) -> u64 {
        self.shared.log.committed_index()
    }

    /// The present term.
    pub fn term(&self) -> u64 {
        self.shared.leader.borrow().term
    }

    /// Whom this member voted for in the present term; 0 for nobody, as in etcd.
    pub fn vote(&self) -> MemberId {
        let metrics = self.shared.core.server_metrics();
        metrics.borrow_watched().vote.leader_id.node_id
    }

    /// The leader, while it is heard; `None` is etcd's `no leader`.
    pub fn leader(&self) -> Option<MemberId> {
        self.shared.leader.borrow().leader
    }

    /// True while this member leads and a quorum answers it.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.shared.config.member_id)
    }

    /// What this member is at present.
    pub fn role(&self) -> Role {
        self.shared.leader.borrow().role
    }

    /// Follows leader, term and role.
    pub fn watch_leader(&self) -> watch::Receiver<LeaderInfo> {
        self.shared.leader.clone()
    }

    /// A look at everything at once.
    pub fn status(&self) -> RaftStatus {
        let LeaderInfo { leader, term, role, .. } = *self.shared.leader.borrow();
        RaftStatus {
            leader,
            term,
            role,
            last_index: self.shared.log.last().index,
            commit_index: self.commit_index(),
            applied_index: self.applied_index(),
            pending_proposals: self.shared.waiters.count(),
        }
    }

    /// Who takes part as of the applied entry.
    pub fn membership(&self) -> Arc<StoredMembership> {
        self.shared.progress.membership.borrow().clone()
    }

    /// On the leader: the last log index that each other member is known to have. Empty elsewhere.
    pub fn match_indexes(&self) -> BTreeMap<MemberId, u64> {
        let metrics = self.shared.core.data_metrics();
        let metrics = metrics.borrow_watched();
        let Some(peers) = &metrics.replication else { return BTreeMap::new() };
        let index = |(id, log_id): (&MemberId, &Option<super::core::LogId>)| {
            (*id, log_id.map_or(0, |log_id| log_id.index))
        };
        peers.iter().map(index).collect()
    }

    /// What is known about the connection to a member.
    pub fn peer_stats(&self, member: MemberId) -> PeerStats {
        self.shared.transport.stats(member)
    }

    /// Since when a member has been answering; this member itself is always there.
    pub fn is_connected_for(&self, member: MemberId, time: Duration) -> bool {
        member == self.shared.config.member_id
            || self.peer_stats(member).active_since.is_some_and(|since| since.elapsed() >= time)
    }

    /// Set once when the member must not go on. The node ends the process with a non-zero code.
    pub fn fatal(&self) -> watch::Receiver<Option<Fatal>> {
        self.shared.progress.fatal.subscribe()
    }

    /// Becomes true when a peer says that this member has been removed. The node ends the process with code 0.
    pub fn removed(&self) -> watch::Receiver<bool> {
        self.shared.removed.subscribe()
    }

    /// An id that no other request of the cluster has.
    pub fn next_request_id(&self) -> u64 {
        self.shared.ids.next()
    }

    /// How long a request may take: etcd's ReqTimeout.
    pub fn request_timeout(&self) -> Duration {
        self.shared.config.request_timeout()
    }

    /// What a transport calls for messages from peers.
    pub fn peer_handler(&self) -> Arc<dyn PeerHandler> {
        self.shared.handler.clone()
    }

    /// Registers who answers forwarded requests. Only the first call counts.
    pub fn set_forward_handler(&self, handler: Arc<dyn ForwardHandler>) {
        let _ = self.shared.forward.set(handler);
    }

    /// Has another member answer a request.
    ///
    /// # Errors
    /// [`ForwardError::Refused`] carries the answer of that member's [`ForwardHandler`].
    pub async fn forward(
        &self,
        to: MemberId,
        kind: u32,
        body: bytes::Bytes,
        time: Duration,
    ) -> Result<bytes::Bytes, ForwardError> {
        let request = pb::ForwardRequest { kind, body };
        match self.shared.transport.forward(to, request, time).await {
            Ok(answer) if answer.is_refusal => Err(ForwardError::Refused(answer.body)),
            Ok(answer) => Ok(answer.body),
            Err(error) => Err(ForwardError::Unreachable(error.to_string())),
        }
    }

    /// Hands leadership to a voter and waits until it leads, at exactly one term higher.
    ///
    /// # Errors
    /// See [`TransferError`]. After [`TransferError::Timeout`] another member may lead, or none for a moment.
    pub async fn transfer_leader(&self, target: MemberId) -> Result<(), TransferError> {
        let shared = &*self.shared;
        if !self.is_leader() {
            return Err(TransferError::NotLeader);
        }
        if target == shared.config.member_id {
            return Ok(());
        }
        let membership = self.membership();
        if !membership.membership.members.get(&target).is_some_and(|peer| peer.counts()) {
            return Err(TransferError::BadTarget);
        }
        tracing::info!(to = format_args!("{target:x}"), "leadership transfer starting");
        let mut leader = shared.leader.clone();
        let start = Instant::now();
        shared.core.trigger().transfer_leader(target).await.map_err(|_| TransferError::Stopped)?;
        let led = leader.wait_for(|info| info.leader == Some(target));
        match timeout(self.request_timeout(), led).await {
            Ok(Ok(_)) => {
                tracing::info!(
                    to = format_args!("{target:x}"), took = ?start.elapsed(), "leadership transfer finished"
                );
                Ok(())
            }
            Ok(Err(_)) => Err(TransferError::Stopped),
            Err(_) => Err(TransferError::Timeout),
        }
    }

    /// The voter to hand leadership to before stopping: of those that are not far behind, the one that has answered for
    /// the longest time.
    pub fn best_successor(&self) -> Option<MemberId> {
        /// Entries that a target catches up with in no time.
        const NEAR: u64 = 1000;
        let membership = self.membership();
        let (own, last) = (self.shared.config.member_id, self.shared.log.last().index);
        let matched = self.match_indexes();
        let rank = |id: MemberId| {
            let is_far = matched.get(&id).is_none_or(|index| index + NEAR < last);
            Some((is_far, self.peer_stats(id).active_since?, id))
        };
        let others = membership.membership.counting().filter(|id| *id != own);
        others.filter_map(rank).min().map(|(_, _, id)| id)
    }

    /// Stops this member: waiting callers hear of it, the log is written and synced, the threads end.
    pub async fn shutdown(&self) {
        let shared = &*self.shared;
        shared.stopping.cancel();
        if let Err(error) = shared.core.shutdown().await {
            tracing::warn!(%error, "openraft did not stop in order");
        }
        shared.log.close();
        let threads = std::mem::take(&mut *shared.threads.lock());
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // A panic in one of them has been reported already.
        let _ = tokio::task::spawn_blocking(join).await;
    }
}
