//! Which background loops a member runs, by its flags. The loops themselves are the `tasks` room's.

use crate::api::{self, SharedContext};
use crate::apply::{Outcome, State};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::raft::Raft;
use crate::tasks::{
    AutoCompaction, CorruptionCheck, LeaseKeeper, SpaceKeeper, keep_cluster_version,
    promote_learners,
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Starts those that need no client's door.
pub(super) fn spawn(
    tasks: &mut JoinSet<()>,
    config: &Config,
    retention: AutoCompaction,
    raft: &Raft<Outcome>,
    state: &Arc<State>,
    metrics: &Metrics,
) {
    let defence = &config.defence;
    tasks.spawn(retention.run(raft.clone(), state.clone()));
    let interval = defence.downgrade_check_time;
    tasks.spawn(keep_cluster_version(raft.clone(), state.clone(), interval));
    tasks.spawn(count_leader_changes(raft.clone(), metrics.clone()));
    let keeper = LeaseKeeper {
        raft: raft.clone(),
        state: state.clone(),
        metrics: metrics.clone(),
        election: config.election,
        keeps_ttl: config.feature_gates.is_on("LeaseCheckpoint"),
    };
    tasks.spawn(keeper.run());
    let check = || CorruptionCheck { raft: raft.clone(), state: state.clone() };
    if let Some(interval) = defence.corrupt_check_time {
        tasks.spawn(check().every(interval));
    }
    if let Some(interval) = defence.compact_hash_check_time {
        tasks.spawn(check().of_compactions_every(interval));
    }
    let quota = u64::try_from(config.quota_bytes).unwrap_or(0);
    if let (Some(disarm_after), 1..) = (defence.nospace_disarm_after, quota) {
        let (raft, state) = (raft.clone(), state.clone());
        tasks.spawn(SpaceKeeper { raft, state, quota_bytes: quota, disarm_after }.run());
    }
}

/// Starts those that ask as clients do.
pub(super) fn spawn_asking(tasks: &mut JoinSet<()>, config: &Config, context: &SharedContext) {
    if !config.defence.promotes_learners {
        return;
    }
    let (raft, state) = (context.raft.clone(), context.state.clone());
    let (judge, asker) = (context.clone(), context.clone());
    let is_in_sync = move |id| api::is_in_sync(&judge, id);
    let promote = move |id| api::promote_learner(asker.clone(), id);
    tasks.spawn(promote_learners(raft, state, is_in_sync, promote));
}

async fn count_leader_changes(raft: Raft<Outcome>, metrics: Metrics) {
    let mut leader = raft.watch_leader();
    let mut last = None;
    loop {
        let now = leader.borrow_and_update().leader;
        if now.is_some() && now != last {
            metrics.server.leader_changes.inc();
            last = now;
        }
        if leader.changed().await.is_err() {
            return;
        }
    }
}
