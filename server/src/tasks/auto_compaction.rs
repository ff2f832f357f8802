//! Automatic compaction, by age or by number of revisions, on the leader only (`etcd:server/etcdserver/api/v3compactor`).

use crate::apply::{Outcome, State};
use crate::config::parse_duration;
use crate::raft::Raft;
use quorate_proto::etcdserverpb::{CompactionRequest, InternalRaftRequest};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Time between two compactions in revision mode.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);
/// Longest time between two compactions in periodic mode.
const PERIODIC_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Samples of the revision per interval in periodic mode.
const SAMPLES_PER_INTERVAL: u32 = 10;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// All of it.
    Off,
    /// That of this much time.
    Periodic(Duration),
    /// This many revisions.
    Revisions(i64),
}

/// A retention that is neither a number nor a duration.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid --auto-compaction-retention {0:?}: a number of hours or revisions, or a duration such as 30m, is needed"
)]
pub struct RetentionError(String);

impl AutoCompaction {
    /// Reads the two flags. A bare number means hours in periodic mode.
    ///
    /// # Errors
    /// The retention has another form.
    pub fn parse(mode: &str, retention: &str) -> Result<AutoCompaction, RetentionError> {
        let wrong = || RetentionError(retention.to_owned());
        let number = retention.parse::<u32>().ok();
        match (mode, number) {
            (_, Some(0)) => Ok(AutoCompaction::Off),
            ("revision", Some(revisions)) => Ok(AutoCompaction::Revisions(revisions.into())),
            ("revision", None) => Err(wrong()),
            (_, Some(hours)) => Ok(AutoCompaction::Periodic(3600 * hours * Duration::from_secs(1))),
            (_, None) => match parse_duration(retention) {
                Some(Duration::ZERO) => Ok(AutoCompaction::Off),
                Some(period) => Ok(AutoCompaction::Periodic(period)),
                None => Err(wrong()),
            },
        }
    }

    /// Runs until the task is dropped.
    pub async fn run(self, raft: Raft<Outcome>, state: Arc<State>) {
        match self {
            AutoCompaction::Off => {}
            AutoCompaction::Periodic(period) => run_periodic(period, &raft, &state).await,
            AutoCompaction::Revisions(keep) => run_revisions(keep, &raft, &state).await,
        }
    }
}

async fn run_periodic(period: Duration, raft: &Raft<Outcome>, state: &State) {
    let interval = period.min(PERIODIC_INTERVAL_MAX);
    let pause = interval / SAMPLES_PER_INTERVAL;
    // Samples that cover the period; the oldest is as old as what may go.
    let n_samples = (period.as_nanos() / pause.as_nanos().max(1)).max(1) as usize;
    let mut samples = VecDeque::with_capacity(n_samples + 1);
    let mut until_next = 0;
    loop {
        tokio::time::sleep(pause).await;
        samples.push_back(state.revision());
        if samples.len() <= n_samples {
            continue;
        }
        let oldest = samples.pop_front().unwrap_or_default();
        // What failed, or was another leader's until now, is due at the next sample.
        if until_next == 0 && compact(raft, state, oldest).await {
            until_next = SAMPLES_PER_INTERVAL;
        }
        until_next = until_next.saturating_sub(1);
    }
}

async fn run_revisions(keep: i64, raft: &Raft<Outcome>, state: &State) {
    loop {
        tokio::time::sleep(REVISION_INTERVAL).await;
        compact(raft, state, state.revision() - keep).await;
    }
}

/// Compacts on the leader; false where it was not this member's to do, or failed.
async fn compact(raft: &Raft<Outcome>, state: &State, revision: i64) -> bool {
    if raft.leader() != Some(state.cluster.local_id()) {
        return false;
    }
    if revision <= 0 || revision <= state.store().compact_revision() {
        return true;
    }
    let compaction = Some(CompactionRequest { revision, physical: false });
    let request = InternalRaftRequest { compaction, ..InternalRaftRequest::default() };
    match raft.propose(request).await {
        Ok(Ok(_)) => {
            tracing::info!(revision, "completed auto compaction");
            return true;
        }
        Ok(Err(error)) => tracing::warn!(revision, %error, "failed auto compaction"),
        Err(error) => tracing::warn!(revision, %error, "failed auto compaction"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two flags together, as etcd reads them.
    #[test]
    fn retentions() {
        let parse = |mode, retention| AutoCompaction::parse(mode, retention).unwrap();
        assert_eq!(parse("periodic", "0"), AutoCompaction::Off);
        assert_eq!(parse("periodic", "1"), AutoCompaction::Periodic(Duration::from_secs(3600)));
        assert_eq!(parse("periodic", "30m"), AutoCompaction::Periodic(Duration::from_secs(1800)));
        assert_eq!(parse("revision", "1000"), AutoCompaction::Revisions(1000));
        assert!(AutoCompaction::parse("revision", "30m").is_err());
        assert!(AutoCompaction::parse("periodic", "x").is_err());
    }
}
