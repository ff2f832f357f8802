//! A leader that the others cannot reach hands leadership to one that they can. Who leads is openraft's matter, here is
//! only the wish.
//!
//! A network can be broken in one direction: a leader whose own connections work, while nobody gets through to it. Its
//! heartbeats keep the others from electing another leader, and all that is proposed or read through them waits for
//! a line to the leader that never opens. etcd elects anew there, because its followers dial the leader for everything.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::handle::Raft;
use super::transport::PeerStats;

/// A leader waits at least this long for a call of the others; they call several times in each election timeout.
const PATIENCE_MIN: Duration = Duration::from_secs(3);

/// Runs until it is dropped.
pub(super) async fn watch<O: Send + 'static>(raft: Raft<O>) {
    let (heartbeat, election) = (raft.shared.config.heartbeat, raft.shared.config.election);
    let patience = (3 * election).max(PATIENCE_MIN);
    let mut ticks = tokio::time::interval(heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Counted in ticks, not in time: after a pause of this process, the calls that have waited come first.
    let mut cut_off = Duration::ZERO;
    loop {
        ticks.tick().await;
        if !raft.is_leader() || !is_cut_off(&raft, patience) {
            cut_off = Duration::ZERO;
            continue;
        }
        cut_off += heartbeat;
        if cut_off < election {
            continue;
        }
        cut_off = Duration::ZERO;
        let Some(successor) = raft.best_successor() else { continue };
        tracing::warn!(
            to = format_args!("{successor:x}"),
            "no quorum of members can reach this leader, though it reaches them; handing leadership over. Look whether \
             the advertised peer URLs of this member can be reached from the others"
        );
        if let Err(error) = raft.transfer_leader(successor).await {
            tracing::warn!(%error, "could not hand leadership over");
        }
    }
}

/// True where too few voters get through to this member for a quorum, while those that it gets through to can be one
/// without it.
fn is_cut_off<O: Send + 'static>(raft: &Raft<O>, patience: Duration) -> bool {
    let membership = raft.membership();
    let voters: Vec<_> = membership.membership.counting().collect();
    let quorum = voters.len() / 2 + 1;
    let own = raft.shared.config.member_id;
    let others: Vec<PeerStats> =
        voters.iter().filter(|id| **id != own).map(|id| raft.peer_stats(*id)).collect();
    // Who has never called may be starting.
    let reaching = |peer: &&PeerStats| peer.called_at.is_none_or(|at| at.elapsed() < patience);
    let answering = |peer: &&PeerStats| peer.active_since.is_some();
    others.iter().filter(reaching).count() + 1 < quorum
        && others.iter().filter(answering).count() >= quorum
}
