//! The loop of the scheduled agent. Runs never overlap; a missed run is caught up once; a failed one is tried again
//! with growing pauses; after every backup that counts, retention prunes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use quorate_client::Client;
use tokio_util::sync::CancellationToken;

use super::notify::Notifier;
use super::status_file::{DaemonState, StatusFile};
use crate::catalogue::Catalogue;
use crate::error::{AgentError, Result};
use crate::manifest::Manifest;
use crate::policy::{Due, Jitter, RetentionPolicy, Schedule, next_due};
use crate::prune::{execute, plan_prune};
use crate::store::SnapshotStore;
use crate::take::{Survey, TakeOptions, take};

/// First pause after a failure; it doubles with every further one.
const RETRY_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// Longest pause after a failure.
const RETRY_PAUSE_MAX: SignedDuration = SignedDuration::from_mins(15);
/// Longest sleep without a look at the clock, which may be set or stand still (suspend) meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(20);

/// What the agent is told.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// When to run.
    pub schedule: Schedule,
    /// This agent's delay after the schedule.
    pub jitter: Jitter,
    /// What to keep; an empty policy prunes nothing.
    pub retention: RetentionPolicy,
    /// How to take a backup.
    pub take: TakeOptions,
    /// Limit of one run.
    pub deadline: Duration,
    /// How long a run may go on after the agent was told to stop.
    pub grace: Duration,
    /// Stop after this many runs (for tests and for a oneshot unit); never where absent.
    pub runs_max: Option<u32>,
}

/// How one run ended.
#[derive(Debug)]
pub enum Outcome {
    /// A backup that counts.
    Stored(Box<Manifest>),
    /// A backup another member contradicts: kept as evidence, and not tried again before the next run is due.
    Disputed(Box<Manifest>),
}

/// The scheduled agent.
pub struct Daemon {
    client: Client,
    store: Arc<dyn SnapshotStore>,
    options: DaemonOptions,
    status: StatusFile,
    notifier: Notifier,
    cluster_id: Option<String>,
    last_run_at: Option<Timestamp>,
}

impl Daemon {
    /// Prepares the agent.
    pub fn new(
        client: Client,
        store: Arc<dyn SnapshotStore>,
        options: DaemonOptions,
        status: StatusFile,
        notifier: Notifier,
    ) -> Self {
        Self { client, store, options, status, notifier, cluster_id: None, last_run_at: None }
    }

    /// Runs until `stop` is cancelled, or the given number of runs is done.
    pub async fn run(&mut self, stop: &CancellationToken) -> Result<()> {
        let expression = self.options.schedule.expression().to_owned();
        tracing::info!(schedule = %expression, store = %self.store.describe(), "agent started");
        self.notifier.ready("waiting");
        let mut n_runs = 0;
        let result = loop {
            let now = Timestamp::now();
            let due_at = match self.due(now).await {
                Ok(due_at) => due_at,
                Err(error) if error.is_retryable() => {
                    self.note_failure(&error);
                    now + retry_pause(self.status.status().n_failures)
                }
                Err(error) => break Err(error),
            };
            self.status.update(|status| status.next_run_at = Some(due_at));
            if !sleep_until(due_at, stop).await {
                break Ok(());
            }
            if !self.run_once(stop).await {
                break Ok(());
            }
            n_runs += 1;
            if self.options.runs_max.is_some_and(|max| n_runs >= max) {
                break Ok(());
            }
        };
        self.notifier.stopping();
        self.status.update(|status| status.state = DaemonState::Stopped);
        tracing::info!(n_runs, "agent stopped");
        result
    }

    /// When the next run is due; not later than now when one was missed or a failed one is to be tried again.
    async fn due(&mut self, now: Timestamp) -> Result<Timestamp> {
        let n_failures = self.status.status().n_failures;
        if n_failures > 0 {
            return Ok(now + retry_pause(n_failures));
        }
        if self.last_run_at.is_none() {
            self.learn_history().await?;
        }
        let due = next_due(&self.options.schedule, self.options.jitter, self.last_run_at, now)?;
        Ok(match due {
            Due::First => {
                tracing::info!("the store holds no backup of this cluster yet, taking one now");
                now
            }
            Due::CatchUp { missed_at } => {
                tracing::warn!(%missed_at, "a run was missed, catching up once");
                now
            }
            Due::At(at) => {
                tracing::info!(%at, "next backup");
                at
            }
        })
    }

    /// Reads from the store when this cluster's last backup was taken. A cluster that is down has no id to go by;
    /// then any backup in the store counts, and the run that follows says what is wrong with the cluster.
    async fn learn_history(&mut self) -> Result<()> {
        if self.cluster_id.is_none() {
            match Survey::make(&self.client).await {
                Ok(survey) => {
                    let id = survey.states.first().map(|state| format!("{:x}", state.cluster_id));
                    self.cluster_id = id;
                }
                Err(error @ AgentError::Cluster { .. }) => {
                    tracing::warn!(%error, "cluster is down")
                }
                Err(error) => return Err(error),
            }
        }
        let catalogue = Catalogue::read(self.store.as_ref()).await?;
        self.last_run_at = catalogue.last_success(self.cluster_id.as_deref());
        let last_success_at = self.last_run_at;
        self.status.update(|status| status.last_success_at = last_success_at);
        Ok(())
    }

    /// One run with everything after it. Says whether to go on.
    async fn run_once(&mut self, stop: &CancellationToken) -> bool {
        self.status.update(|status| status.state = DaemonState::Running);
        self.notifier.status("taking a backup");
        let started_at = Timestamp::now();
        let deadline = self.options.deadline;
        let run = async {
            let taken = tokio::time::timeout(
                deadline,
                take(&self.client, &*self.store, &self.options.take),
            );
            let manifest = taken.await.map_err(|_| AgentError::Cluster {
                what: format!("the backup was not finished within {deadline:?}"),
            })??;
            Ok(if manifest.is_counted() {
                Outcome::Stored(Box::new(manifest))
            } else {
                Outcome::Disputed(Box::new(manifest))
            })
        };
        let outcome = with_grace(run, stop, self.options.grace).await;
        match outcome {
            Ok(Outcome::Stored(manifest)) => {
                self.last_run_at = Some(started_at);
                self.note_success(&manifest);
                self.prune().await;
            }
            Ok(Outcome::Disputed(manifest)) => {
                self.last_run_at = Some(started_at);
                let what = format!("backup {} is disputed by another member", manifest.id);
                self.status.update(|status| {
                    status.state = DaemonState::Failing;
                    status.last_error = Some(what);
                });
            }
            Err(AgentError::Cancelled) => {
                tracing::warn!("told to stop: the backup under way was given up");
                return false;
            }
            Err(error) => self.note_failure(&error),
        }
        !stop.is_cancelled()
    }

    fn note_success(&mut self, manifest: &Manifest) {
        self.cluster_id = Some(manifest.cluster_id.clone());
        self.notifier.status(&format!("backup {} stored", manifest.id));
        self.status.update(|status| {
            status.state = DaemonState::Waiting;
            status.last_backup_id = Some(manifest.id.to_string());
            status.last_success_at = Some(manifest.started_at);
            status.last_error = None;
            status.n_failures = 0;
        });
    }

    fn note_failure(&mut self, error: &AgentError) {
        tracing::error!(%error, hint = error.hint(), "backup failed");
        self.notifier.status(&format!("failing: {error}"));
        self.status.update(|status| {
            status.state = DaemonState::Failing;
            status.last_error = Some(error.to_string());
            status.n_failures += 1;
        });
    }

    /// A failed prune is logged; the backup is there all the same.
    async fn prune(&self) {
        if self.options.retention.is_empty() {
            return;
        }
        let pruned = async {
            let catalogue = Catalogue::read(&*self.store).await?;
            let plan = plan_prune(&catalogue, &self.options.retention, Timestamp::now())?;
            execute(&plan, &catalogue, &*self.store).await
        };
        match pruned.await {
            Ok(done) => tracing::info!(
                backups = done.n_backups,
                left_overs = done.n_abandoned,
                "pruned by retention"
            ),
            Err(error) => tracing::error!(%error, "prune failed"),
        }
    }
}

fn retry_pause(n_failures: u32) -> SignedDuration {
    let doubled = RETRY_PAUSE * 2_i32.pow(n_failures.saturating_sub(1).min(8));
    doubled.min(RETRY_PAUSE_MAX)
}

/// Sleeps until the clock shows `at`; false when told to stop.
async fn sleep_until(at: Timestamp, stop: &CancellationToken) -> bool {
    loop {
        let left = at.duration_since(Timestamp::now());
        let Ok(left) = Duration::try_from(left) else { return !stop.is_cancelled() };
        if left.is_zero() {
            return !stop.is_cancelled();
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(left.min(SLEEP_MAX)) => {}
        }
    }
}

/// Lets a run go on for `grace` after a stop, then gives it up.
async fn with_grace<T>(
    run: impl Future<Output = Result<T>>,
    stop: &CancellationToken,
    grace: Duration,
) -> Result<T> {
    tokio::pin!(run);
    tokio::select! {
        result = &mut run => return result,
        () = stop.cancelled() => {}
    }
    tracing::info!(?grace, "told to stop: finishing the backup under way");
    tokio::time::timeout(grace, run).await.unwrap_or(Err(AgentError::Cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses grow from one minute to a quarter of an hour and stay there.
    #[test]
    fn pauses_grow_and_stop_growing() {
        let pauses: Vec<_> = [1, 2, 3, 5, 50].map(|n| retry_pause(n).as_secs()).to_vec();
        assert_eq!(pauses, [60, 120, 240, 900, 900]);
    }

    /// A run that ends within the grace counts; one that does not is given up.
    #[tokio::test(start_paused = true)]
    async fn a_run_is_finished_within_the_grace() {
        let stop = CancellationToken::new();
        stop.cancel();
        let run = |seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(seconds)
        };
        let grace = Duration::from_secs(30);
        assert_eq!(with_grace(run(29), &stop, grace).await.expect("finished"), 29);
        assert!(matches!(with_grace(run(31), &stop, grace).await, Err(AgentError::Cancelled)));
    }
}
