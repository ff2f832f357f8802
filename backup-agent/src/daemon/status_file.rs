//! The status file: how the scheduled agent is doing, for probes and monitoring. Replaced whole at every change.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::durable::write_whole;

/// What the agent is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonState {
    /// Waiting for the next run.
    #[default]
    Waiting,
    /// Taking a backup.
    Running,
    /// The last run failed; the next try is at `next_run_at`.
    Failing,
    /// Stopped.
    Stopped,
}

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What the agent is doing.
    pub state: DaemonState,
    /// Its process id.
    pub pid: u32,
    /// The newest backup that counts.
    pub last_backup_id: Option<String>,
    /// Start of the newest backup that counts.
    pub last_success_at: Option<Timestamp>,
    /// Text of the last failure since then.
    pub last_error: Option<String>,
    /// Failures since then.
    pub n_failures: u32,
    /// When the next run is due.
    pub next_run_at: Option<Timestamp>,
    /// When this was written. A probe compares `last_success_at` and `next_run_at` with its own clock.
    pub updated_at: Option<Timestamp>,
}

/// Writes the status, where a file was asked for.
#[derive(Clone, Debug, Default)]
pub struct StatusFile {
    path: Option<PathBuf>,
    status: Status,
}

impl StatusFile {
    /// Prepares the file; nothing is written yet.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, status: Status { pid: std::process::id(), ..Status::default() } }
    }

    /// Changes the status and writes it. A file that cannot be written is logged: it must not stop backups.
    pub fn update(&mut self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status);
        self.status.updated_at = Some(Timestamp::now());
        let Some(path) = &self.path else { return };
        let bytes = serde_json::to_vec_pretty(&self.status).expect("a status is plain data");
        if let Err(error) = write_whole(path, &bytes) {
            tracing::warn!(path = %path.display(), %error, "status file not written");
        }
    }

    /// The status as it is now.
    pub fn status(&self) -> &Status {
        &self.status
    }
}
