//! What can go wrong between the state and its file; every message names the place and says what to do.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// An engine's own complaint, before anyone knows which file it concerns.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The disk refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The bytes are there but are not what this engine wrote.
    #[error("damaged: {0}")]
    Corrupt(String),
    /// A valid database of somebody else, or of a newer Quorate.
    #[error("not a state of this version: {0}")]
    Foreign(String),
    /// Another process, or another handle of this one, has the database open.
    #[error("in use by another process")]
    InUse,
    /// The engine has no snapshots and has moved on since the view was taken; take the next view and ask again.
    #[error("the view is older than the engine's last commit")]
    Moved,
    /// A pinned view would have to keep more old rows than its limit allows.
    #[error("the view fell too far behind the writes")]
    ViewExpired,
    /// The engine failed in a way it does not classify.
    #[error("{0}")]
    Other(String),
}

impl EngineError {
    /// True where the disk or the file-size limit is used up.
    pub fn is_no_space(&self) -> bool {
        match self {
            EngineError::Io(error) => is_no_space(error),
            EngineError::Corrupt(_)
            | EngineError::Foreign(_)
            | EngineError::InUse
            | EngineError::Moved
            | EngineError::ViewExpired
            | EngineError::Other(_) => false,
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Why the state cannot be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// An earlier write failed. Nothing is known about what reached the disk, so nothing more is served.
    #[error(
        "the state in {path} stopped after a failed write: {reason}. Free disk space or repair the disk, then \
         restart the member; it replays its log"
    )]
    Poisoned {
        /// Where the state lives.
        path: PathBuf,
        /// The first failure.
        reason: Arc<str>,
    },
    /// The engine failed while doing what `action` says.
    #[error("failed to {action} the state in {path}: {source}. {advice}")]
    Engine {
        /// What was attempted.
        action: &'static str,
        /// Where the state lives.
        path: PathBuf,
        /// The engine's complaint.
        source: Arc<EngineError>,
        /// What an operator can do.
        advice: &'static str,
    },
    /// What lies in the directory is not a state that this program may open.
    #[error("refusing to open the state in {path}: {found}. {advice}")]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What an operator can do.
        advice: &'static str,
    },
    /// The backend was closed.
    #[error("the state is closed")]
    Closed,
    /// The rows for [`super::Backend::replace_all`] are unfit or could not be read; the old state is untouched.
    #[error("the received state cannot be installed: {0}")]
    BadReplacement(String),
}

impl StorageError {
    /// Wraps an engine's complaint with the place and the action, and picks the advice.
    pub(super) fn engine(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: EngineError,
    ) -> Self {
        let advice = match &source {
            EngineError::Io(error) if is_no_space(error) => {
                "Free disk space, then restart the member"
            }
            EngineError::Io(_) => "Check the disk and the permissions, then restart the member",
            EngineError::Corrupt(_) => {
                "Do not delete it by hand: remove the member, and add it again with an empty data directory"
            }
            EngineError::Foreign(_) => {
                "Start the version or the --storage-engine that wrote it, or restore from a snapshot"
            }
            EngineError::InUse => "Stop the other process first",
            EngineError::Moved | EngineError::ViewExpired => "Try again",
            EngineError::Other(_) => "See the log above, then restart the member",
        };
        StorageError::Engine { action, path: path.into(), source: Arc::new(source), advice }
    }

    /// The text without the advice, for an error that gives its own.
    pub(super) fn without_advice(&self) -> String {
        match self {
            StorageError::Engine { action, path, source, .. } => {
                format!("failed to {action} the state in {}: {source}", path.display())
            }
            StorageError::Refused { path, found, .. } => {
                format!("refusing to open the state in {}: {found}", path.display())
            }
            StorageError::Poisoned { .. }
            | StorageError::Closed
            | StorageError::BadReplacement(_) => self.to_string(),
        }
    }

    /// True where the member must stop: after this error the state in memory may not be trusted to reach the disk.
    pub fn is_fatal(&self) -> bool {
        match self {
            StorageError::Poisoned { .. } | StorageError::Refused { .. } => true,
            StorageError::Engine { source, .. } => {
                !matches!(**source, EngineError::Moved | EngineError::ViewExpired)
            }
            StorageError::Closed | StorageError::BadReplacement(_) => false,
        }
    }

    /// True where another process has the state open.
    pub fn is_in_use(&self) -> bool {
        matches!(self, StorageError::Engine { source, .. } if matches!(**source, EngineError::InUse))
    }

    /// True where the disk is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            StorageError::Engine { source, .. } => source.is_no_space(),
            StorageError::Poisoned { .. }
            | StorageError::Refused { .. }
            | StorageError::Closed
            | StorageError::BadReplacement(_) => false,
        }
    }
}
