//! From a request to its outcome: an id, a waiter, the way to the leader, and etcd's errors where there is no outcome.

use std::sync::Arc;

use quorate_proto::etcdserverpb::InternalRaftRequest;
use quorate_proto::raftpb::ConfChange;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::config::{APPLY_GAP_MAX, PROPOSALS_MAX, REJECTED_PAUSE};
use super::core::{Setback, SubmissionResponder};
use super::error::{ProposeError, TimeoutCause};
use super::handle::{Raft, Shared};
use super::leading::Refusal;
use super::machine::Command;
use super::relay::RelayItem;
use super::waiters::{Notice, Waiters};
use crate::types::MemberId;

/// What is proposed.
enum Proposal {
    Command(Arc<Command>),
    Change(ConfChange),
}

/// A registration that ends with its caller.
struct Waiting<'a, O> {
    waiters: &'a Waiters<O>,
    request_id: u64,
    notice: oneshot::Receiver<Notice<O>>,
}

impl<'a, O> Waiting<'a, O> {
    fn new(waiters: &'a Waiters<O>, request_id: u64) -> Self {
        Waiting { waiters, request_id, notice: waiters.register(request_id) }
    }
}

impl<O> Drop for Waiting<'_, O> {
    fn drop(&mut self) {
        self.waiters.forget(self.request_id);
    }
}

impl<O: Send + 'static> Raft<O> {
    /// Proposes a request and waits until this member has applied it. The header's id is set here.
    ///
    /// A proposal that was certainly not taken into the log is offered to the next leader until the time is up
    /// (`5 s + 2 × election timeout`); one whose outcome is unknown never is.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub fn propose(
        &self,
        mut request: InternalRaftRequest,
    ) -> impl Future<Output = Result<O, ProposeError>> + Send + use<'_, O> {
        // Encoded before the future begins: a request of 1.3 KB in it would be carried through every layer above.
        let request_id = self.shared.ids.next();
        request.header.get_or_insert_default().id = request_id;
        let command = Arc::new(Command::new(request));
        self.offer(request_id, command)
    }

    async fn offer(&self, request_id: u64, command: Arc<Command>) -> Result<O, ProposeError> {
        let shared = &*self.shared;
        if command.bytes().len() > shared.config.max_request_bytes {
            return Err(ProposeError::TooLarge);
        }
        let gap = self.commit_index().saturating_sub(self.applied_index());
        if gap > APPLY_GAP_MAX || shared.waiters.count() >= PROPOSALS_MAX {
            return Err(ProposeError::TooManyRequests);
        }
        shared.observed(request_id, Proposal::Command(command)).await
    }

    /// Proposes a configuration change of etcd's kind (type, member id, JSON context) and waits until this member has
    /// applied it. Changes are made one after another; the request id is set here. Whether the change is wise
    /// (started members, connections, promotion in sync) has to be checked before.
    ///
    /// # Errors
    /// See [`ProposeError`]; [`ProposeError::ChangeRefused`] when another change is in the way.
    pub async fn propose_conf_change(&self, mut change: ConfChange) -> Result<O, ProposeError> {
        let request_id = self.shared.ids.next();
        change.id = Some(request_id);
        self.shared.observed(request_id, Proposal::Change(change)).await
    }
}

impl<O: Send + 'static> Shared<O> {
    async fn observed(&self, request_id: u64, proposal: Proposal) -> Result<O, ProposeError> {
        self.observer.proposal_started();
        let result = self.pursue(request_id, proposal).await;
        self.observer.proposal_ended(result.is_err());
        result
    }

    async fn pursue(&self, request_id: u64, proposal: Proposal) -> Result<O, ProposeError> {
        let start = Instant::now();
        let deadline = start + self.config.request_timeout();
        loop {
            let mut waiting = Waiting::new(&self.waiters, request_id);
            let Some(leader) = self.known_leader(deadline).await? else {
                return Err(ProposeError::Timeout(self.cause(start)));
            };
            self.submit(leader, request_id, &proposal).await?;
            let notice = tokio::select! {
                notice = timeout_at(deadline, &mut waiting.notice) => notice,
                () = self.stopping.cancelled() => return Err(ProposeError::Stopped),
            };
            match notice {
                Ok(Ok(Notice::Outcome(outcome))) => return Ok(outcome),
                Ok(Ok(Notice::Refused(reason))) => return Err(ProposeError::ChangeRefused(reason)),
                Ok(Ok(Notice::Setback(Setback::Discarded))) => {
                    return Err(ProposeError::LeaderChanged);
                }
                // Certainly not in the log: whoever leads next may have it.
                Ok(Ok(Notice::Setback(Setback::Rejected))) => {
                    drop(waiting);
                    self.pause(deadline).await;
                }
                Ok(Err(_)) => return Err(ProposeError::Stopped),
                Err(_) => return Err(ProposeError::Timeout(self.cause(start))),
            }
        }
    }

    /// The leader, once there is one; `None` when the time is up before.
    async fn known_leader(&self, deadline: Instant) -> Result<Option<MemberId>, ProposeError> {
        if let Some(leader) = self.leader.borrow().leader {
            return Ok(Some(leader));
        }
        let mut leader = self.leader.clone();
        let known = tokio::select! {
            known = timeout_at(deadline, leader.wait_for(|info| info.leader.is_some())) => known,
            () = self.stopping.cancelled() => return Err(ProposeError::Stopped),
        };
        match known {
            Ok(Ok(info)) => Ok(info.leader),
            Ok(Err(_)) => Err(ProposeError::Stopped),
            Err(_) => Ok(None),
        }
    }

    async fn submit(
        &self,
        leader: MemberId,
        request_id: u64,
        proposal: &Proposal,
    ) -> Result<(), ProposeError> {
        match proposal {
            Proposal::Command(command) if leader == self.config.member_id => {
                let responder = SubmissionResponder::new(request_id, self.waiters.clone());
                let submitted = self.core.client_write_ff(command.clone(), Some(responder)).await;
                submitted.map_err(|_| ProposeError::Stopped)
            }
            Proposal::Command(command) => {
                self.relay_item(RelayItem::Proposal(request_id, command.clone())).await
            }
            Proposal::Change(change) if leader == self.config.member_id => {
                let (leading, waiters) = (self.leading.clone(), self.waiters.clone());
                let change = change.clone();
                // On its own: a caller that gives up must not leave a change half-way.
                tokio::spawn(async move {
                    let notice = match leading.change(change).await {
                        Ok(()) => return,
                        Err(Refusal::Invalid(reason)) => Notice::Refused(reason),
                        Err(Refusal::Unknown) => Notice::Setback(Setback::Discarded),
                        Err(Refusal::NotNow | Refusal::Stopped) => {
                            Notice::Setback(Setback::Rejected)
                        }
                    };
                    waiters.tell(request_id, notice);
                });
                Ok(())
            }
            Proposal::Change(change) => {
                self.relay_item(RelayItem::Change(Box::new(change.clone()))).await
            }
        }
    }

    async fn relay_item(&self, item: RelayItem) -> Result<(), ProposeError> {
        self.relay.send(item).await.map_err(|_| ProposeError::Stopped)
    }

    /// Waits for a change of the leader, but not long: the refusal may have been a matter of a moment.
    async fn pause(&self, deadline: Instant) {
        let mut leader = self.leader.clone();
        leader.mark_unchanged();
        let limit = deadline.min(Instant::now() + REJECTED_PAUSE);
        let _ = timeout_at(limit, leader.changed()).await;
    }

    /// etcd's three kinds of timeouts (`etcd:server/etcdserver/server.go`, parseProposeCtxErr).
    fn cause(&self, start: Instant) -> TimeoutCause {
        let info = *self.leader.borrow();
        if let Some(elected) = info.elected_at {
            let lost = elected.checked_sub(2 * self.config.election).unwrap_or(elected);
            if start > lost && start < elected {
                return TimeoutCause::LeaderFailure;
            }
        }
        let is_connected = match info.leader {
            None => return TimeoutCause::Plain,
            Some(leader) if leader == self.config.member_id => self.has_quorum_since(start),
            Some(leader) => self.is_connected_since(leader, start),
        };
        if is_connected { TimeoutCause::Plain } else { TimeoutCause::ConnectionLost }
    }

    fn has_quorum_since(&self, start: Instant) -> bool {
        let membership = self.progress.membership.borrow().clone();
        let voters: Vec<MemberId> = membership.membership.voters().collect();
        let connected =
            |id: &&MemberId| **id == self.config.member_id || self.is_connected_since(**id, start);
        voters.iter().filter(connected).count() > voters.len() / 2
    }

    fn is_connected_since(&self, member: MemberId, start: Instant) -> bool {
        self.transport.stats(member).active_since.is_some_and(|since| since < start)
    }
}
