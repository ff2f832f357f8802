//! How a member comes to its end: what ends it, and what it still owes its clients and its cluster. The order in which its
//! parts are taken down is decided next door.

use super::signals::{StopSignal, StopSignals};
use crate::api::SharedContext;
use crate::apply::Outcome;
use crate::raft::{Fatal, Raft};
use std::time::Duration;
use tokio::sync::watch;

/// Time that a leader gives its successor at SIGTERM.
const HAND_OVER_TIME: Duration = Duration::from_millis(500);
/// Time that calls under way have for their outcome once the doors are closed.
const FINISH_TIME: Duration = Duration::from_secs(1);
/// A stopping member looks so often, and so many times, for proposals: what has come may not have been proposed yet.
const QUIET_TIME: Duration = Duration::from_millis(10);
const QUIET_LOOKS: usize = 3;

/// Why a member ends.
pub(super) enum Ended {
    Signal(StopSignal),
    Removed,
    Fatal(Fatal),
}

/// Waits for whatever ends a running member.
pub(super) async fn end_of(
    raft: &Raft<Outcome>,
    context: &SharedContext,
    mut fatal: watch::Receiver<Option<Fatal>>,
    signals: &mut StopSignals,
) -> Ended {
    let mut removed = raft.removed();
    tokio::select! {
        signal = signals.next() => Ended::Signal(signal),
        () = async { let _ = removed.wait_for(|removed| *removed).await.map(|_| ()); } => Ended::Removed,
        () = own_removal(context) => Ended::Removed,
        fault = async { fatal.wait_for(Option::is_some).await.ok().and_then(|fault| fault.clone()) } => {
            Ended::Fatal(fault.unwrap_or_else(|| Fatal::new("the member stopped by itself")))
        }
    }
}

/// Waits until this member has applied its own removal.
async fn own_removal(context: &SharedContext) {
    let cluster = &context.state.cluster;
    let mut membership = context.raft.watch_membership();
    while !cluster.is_removed(cluster.local_id()) {
        if membership.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until what was proposed has its outcome: whoever asked before the doors were closed is answered, as with etcd.
pub(super) async fn finish_calls(raft: &Raft<Outcome>) {
    let finished = async {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            tokio::time::sleep(QUIET_TIME).await;
            let is_quiet = raft.status().pending_proposals == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
        }
    };
    if tokio::time::timeout(FINISH_TIME, finished).await.is_err() {
        tracing::warn!("calls are left without an answer");
    }
}

/// Makes the best follower the leader, where this member leads and there is one.
pub(super) async fn hand_over(raft: &Raft<Outcome>) {
    if !raft.is_leader() {
        return;
    }
    let Some(successor) = raft.best_successor() else { return };
    match tokio::time::timeout(HAND_OVER_TIME, raft.transfer_leader(successor)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "leadership was not handed over"),
        Err(_) => tracing::warn!("leadership was not handed over in time"),
    }
}
