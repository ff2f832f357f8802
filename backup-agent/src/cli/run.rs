//! `run`: takes backups on a schedule until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::flags::{ClusterFlags, RetentionFlags, StoreFlags, TakeFlags, parse_duration};
use crate::daemon::{Daemon, DaemonOptions, Notifier, StatusFile};
use crate::error::{AgentError, Result};
use crate::policy::{Jitter, Schedule};

/// Flags of `run`.
#[derive(Args, Debug)]
pub struct RunCommand {
    #[command(flatten)]
    cluster: ClusterFlags,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    take: TakeFlags,
    #[command(flatten)]
    retention: RetentionFlags,
    /// Cron expression: five fields, six with seconds first, or a name such as @hourly
    #[arg(long, env = "QUORATE_BACKUP_SCHEDULE", default_value = "0 * * * *")]
    schedule: String,
    /// Time zone of the schedule: an IANA name, UTC or local
    #[arg(long, env = "QUORATE_BACKUP_TIME_ZONE", default_value = "UTC")]
    time_zone: String,
    /// Delay every run by a fixed part of this, the same for this host and store at every run
    #[arg(long, env = "QUORATE_BACKUP_JITTER", default_value = "0s", value_parser = parse_duration)]
    jitter: SignedDuration,
    /// Give a run up after this many seconds
    #[arg(long, env = "QUORATE_BACKUP_DEADLINE", default_value_t = 3600)]
    deadline: u64,
    /// Seconds a run may go on after SIGTERM
    #[arg(long, env = "QUORATE_BACKUP_GRACE", default_value_t = 30)]
    grace: u64,
    /// File to keep the agent's status in, as JSON
    #[arg(long, env = "QUORATE_BACKUP_STATUS_FILE")]
    status_file: Option<PathBuf>,
    /// Stop after this many runs
    #[arg(long, value_name = "N")]
    runs: Option<u32>,
}

impl RunCommand {
    /// Runs the command.
    pub async fn run(self) -> Result<()> {
        let client = self.cluster.connect().await?;
        let store = self.store.open().await?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let jitter = Duration::try_from(self.jitter).map_err(|error| {
            AgentError::configuration(format!("jitter: {error}"), "Give a positive duration.")
        })?;
        let options = DaemonOptions {
            schedule: Schedule::parse(&self.schedule, &self.time_zone)?,
            jitter: Jitter::stable(jitter, &format!("{host} {}", store.describe())),
            retention: self.retention.policy(),
            take: self.take.options(),
            deadline: Duration::from_secs(self.deadline),
            grace: Duration::from_secs(self.grace),
            runs_max: self.runs,
        };
        let stop = stop_on_signal()?;
        let status = StatusFile::new(self.status_file);
        let notifier = Notifier::from_environment();
        Daemon::new(client, store, options, status, notifier).run(&stop).await
    }
}

/// A token that SIGTERM or SIGINT cancels.
fn stop_on_signal() -> Result<CancellationToken> {
    let failed =
        |error| AgentError::io("watch for signals in", std::path::Path::new("process"))(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}
