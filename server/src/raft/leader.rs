//! Who leads, as this member sees it; and the leader's heartbeat clock.
//!
//! openraft keeps naming a leader until a new vote is seen. Here a leader counts only while it is heard: a follower
//! hears its appends, a leader its quorum's answers. So a client is told `no leader` after one election timeout.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, ServerState};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::core::Core;
use crate::types::MemberId;

/// What this member is at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows, or looks for a leader.
    #[default]
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Does not vote.
    Learner,
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaderInfo {
    /// The leader, while it is heard.
    pub leader: Option<MemberId>,
    /// The present term.
    pub term: u64,
    /// What this member is.
    pub role: Role,
    /// When the present leader was first seen.
    pub elected_at: Option<Instant>,
}

/// When a leader was heard last.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Option<(MemberId, Instant)>>);

impl Heard {
    pub(super) fn note(&self, from: MemberId) {
        *self.0.lock() = Some((from, Instant::now()));
    }

    fn is_recent(&self, leader: MemberId, limit: Duration) -> bool {
        self.0.lock().is_some_and(|(from, at)| from == leader && at.elapsed() <= limit)
    }
}

/// Watches openraft and tells who leads.
pub(super) struct LeaderWatch {
    pub(super) core: Core,
    pub(super) member_id: MemberId,
    pub(super) heard: Arc<Heard>,
    pub(super) heartbeat: Duration,
    pub(super) election: Duration,
    pub(super) info: watch::Sender<LeaderInfo>,
}

impl LeaderWatch {
    /// Runs until openraft ends.
    pub(super) async fn run(self) {
        let mut metrics = self.core.server_metrics();
        let mut ticks = tokio::time::interval(self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_tick = tokio::select! {
                _ = ticks.tick() => true,
                changed = metrics.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    false
                }
            };
            let info = self.look();
            self.info.send_if_modified(|old| {
                let is_new = *old != info;
                *old = info;
                is_new
            });
            // openraft's own interval is longer: it is also the time it waits for an answer, and on a slow network
            // answers take more than one heartbeat.
            if is_tick
                && info.role == Role::Leader
                && self.core.trigger().heartbeat().await.is_err()
            {
                return;
            }
        }
    }

    fn look(&self) -> LeaderInfo {
        let metrics = self.core.server_metrics();
        let (term, state, named) = {
            let metrics = metrics.borrow_watched();
            (metrics.vote.leader_id.term, metrics.state, metrics.current_leader)
        };
        let old = *self.info.borrow();
        let is_same = named.is_some() && old.term == term && old.elected_at.is_some();
        let elected_at = match named {
            Some(_) if is_same => old.elected_at,
            Some(_) => Some(Instant::now()),
            None => None,
        };
        let leader = named.filter(|leader| {
            // A new leader has a moment to be heard.
            elected_at.is_some_and(|at| at.elapsed() <= self.election) || self.is_alive(*leader)
        });
        let role = match state {
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            ServerState::Follower => Role::Follower,
            ServerState::Learner | ServerState::Shutdown => Role::Learner,
        };
        LeaderInfo { leader, term, role, elected_at }
    }

    fn is_alive(&self, leader: MemberId) -> bool {
        if leader != self.member_id {
            return self.heard.is_recent(leader, self.election);
        }
        // Alone, there is nobody to hear from: openraft's last answer of a quorum then stays as it was at first.
        let server = self.core.server_metrics();
        if server.borrow_watched().membership_config.voter_ids().eq([leader]) {
            return true;
        }
        let metrics = self.core.data_metrics();
        let acked = metrics.borrow_watched().last_quorum_acked.as_ref().map(|at| **at);
        acked.is_some_and(|at| at.elapsed() <= self.election)
    }
}
