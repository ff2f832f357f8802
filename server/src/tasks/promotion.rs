//! `--auto-promote-learners`: while this member leads, learners that have started are promoted once they pass the checks
//! that an operator's request has to pass. Those checks are the `api` room's, which hands them in.

use crate::apply::{Outcome, State};
use crate::raft::Raft;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks; a learner must be in sync at two of them.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs until the task is dropped. `is_in_sync` judges a learner, `promote` asks for its promotion and tells what was
/// wrong.
pub async fn promote_learners(
    raft: Raft<Outcome>,
    state: Arc<State>,
    is_in_sync: impl Fn(u64) -> bool + Send,
    promote: impl Fn(u64) -> BoxFuture<'static, Result<(), String>> + Send,
) {
    let mut seen_in_sync = BTreeSet::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        if !raft.is_leader() {
            seen_in_sync.clear();
            continue;
        }
        let members = state.cluster.members();
        let learners = members.iter().filter(|m| m.is_learner && !m.name.is_empty());
        let ready: BTreeSet<u64> = learners.map(|m| m.id).filter(|id| is_in_sync(*id)).collect();
        for id in ready.intersection(&seen_in_sync) {
            let learner = format!("{id:x}");
            match promote(*id).await {
                Ok(()) => tracing::info!(learner, "promoted a learner that is in sync"),
                Err(reason) => tracing::debug!(learner, reason, "a learner stays one for now"),
            }
        }
        seen_in_sync = ready;
    }
}
