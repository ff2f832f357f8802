//! Ends streams whose caller asked for a leader (`hasleader` metadata) when this member has known none for three
//! elections. Calls that begin without one are refused by the door.
//!
//! Source: `etcd:server/etcdserver/api/v3rpc/interceptor.go` (`monitorLeader`).

use super::context::SharedContext;
use quorate_proto::errors::EtcdError;
use std::task::{Context, Poll};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tonic::Status;

/// Elections without a leader, one after the other, that a stream outlives (`maxNoLeaderCnt`).
const ELECTIONS_MAX: u32 = 3;

/// Looks once in an election timeout whether there is a leader.
pub struct Leaderless {
    context: SharedContext,
    ticks: Interval,
    elections: u32,
}

impl std::fmt::Debug for Leaderless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaderless").field("elections", &self.elections).finish_non_exhaustive()
    }
}

impl Leaderless {
    /// A stream that begins now.
    pub(super) fn new(context: SharedContext) -> Leaderless {
        let period = context.limits.election;
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Leaderless { context, ticks, elections: 0 }
    }

    /// Ready once the stream must end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        while self.ticks.poll_tick(cx).is_ready() {
            let is_led = self.context.raft.leader().is_some();
            self.elections = if is_led { 0 } else { self.elections + 1 };
            if self.elections >= ELECTIONS_MAX {
                return Poll::Ready(EtcdError::NoLeader.into());
            }
        }
        Poll::Pending
    }
}
