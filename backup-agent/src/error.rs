//! Every way the backup agent can fail, and the exit code each way ends in. No printing happens here.
//!
//! A message is a fragment that reads after "failed to …: "; what the operator should do is a separate sentence,
//! the [hint](AgentError::hint).

use std::path::{Path, PathBuf};

/// Result of everything in this crate.
pub type Result<T, E = AgentError> = std::result::Result<T, E>;

/// A failure of the backup agent, named for its cause.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A flag, an environment variable or a file they point to makes no sense.
    #[error("{what}")]
    Configuration {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// No member could answer, or the answer was an error.
    #[error("{what}")]
    Cluster {
        /// What failed, with the server's own words.
        what: String,
    },
    /// The snapshot store refused, failed or could not be reached.
    #[error("{store}: {what}")]
    Store {
        /// The store, as `s3://bucket/prefix` or `file:///path`.
        store: String,
        /// What failed, with the store's own words.
        what: String,
        /// Whether the same request may succeed when sent again.
        retryable: bool,
    },
    /// Bytes are not what they must be: a hash, a size, a structure, a revision.
    #[error("{what}")]
    Integrity {
        /// What differs, with both values.
        what: String,
        /// What to do.
        hint: String,
    },
    /// No backup matches.
    #[error("{what}")]
    NotFound {
        /// What was looked for, and where.
        what: String,
    },
    /// There are backups, and the newest is older than was asked for.
    #[error("{what}")]
    TooOld {
        /// The newest backup and its age.
        what: String,
    },
    /// A precondition does not hold, so nothing was done.
    #[error("{what}")]
    Refused {
        /// The precondition.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A server started by the agent (replay, drill, recovery) did not come up or died.
    #[error("{what}")]
    Server {
        /// What happened, with the last lines the server logged.
        what: String,
    },
    /// A file operation failed.
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        /// Verb, for example `write`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The operator, or a signal, stopped the run.
    #[error("cancelled")]
    Cancelled,
}

impl AgentError {
    /// Builds an [`AgentError::Io`].
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Builds an [`AgentError::Integrity`] with the hint that fits a damaged backup.
    pub fn damaged(what: impl Into<String>) -> Self {
        Self::Integrity {
            what: what.into(),
            hint: "Do not restore this backup; take the next older one that verifies.".into(),
        }
    }

    /// Builds an [`AgentError::Refused`].
    pub fn refused(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), hint: hint.into() }
    }

    /// Builds an [`AgentError::Configuration`].
    pub fn configuration(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Configuration { what: what.into(), hint: hint.into() }
    }

    /// The process exit code, as the manual lists them. Codes are stable; an unknown code means failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } => 1,
            Self::Configuration { .. } => 2,
            Self::Integrity { .. } => 3,
            Self::NotFound { .. } => 4,
            Self::Cluster { .. } => 5,
            Self::Store { .. } => 6,
            Self::Refused { .. } => 7,
            Self::Server { .. } => 8,
            Self::TooOld { .. } => 9,
            Self::Cancelled => 130,
        }
    }

    /// What to do about it, as a sentence.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Configuration { hint, .. }
            | Self::Integrity { hint, .. }
            | Self::Refused { hint, .. } => Some(hint),
            Self::NotFound { .. } => {
                Some("Run `quorate-backup-agent list` with the same --store to see what is there.")
            }
            Self::Cluster { what } if what.contains("permission denied") => Some(
                "A snapshot is everything the cluster holds, so it needs the role root: the user root, or a client \
                 certificate whose CommonName is root.",
            ),
            Self::Cluster { .. } => Some(
                "Check --endpoints, the TLS files and the credentials with `quoratectl endpoint status`.",
            ),
            Self::Store { retryable: true, .. } => Some(
                "Check that the store runs and is reached from here, then run the command again.",
            ),
            Self::Store { retryable: false, .. } => {
                Some("Check the store's address, its credentials and its rights.")
            }
            Self::TooOld { .. } => Some(
                "Look whether the agent runs (`systemctl status quorate-backup-agent`) and what its log says.",
            ),
            Self::Server { .. } => Some("The server's own log is named above; it says why."),
            Self::Io { .. } | Self::Cancelled => None,
        }
    }

    /// True when the same work may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Cluster { .. } | Self::Server { .. } => true,
            Self::Store { retryable, .. } => *retryable,
            Self::Configuration { .. }
            | Self::Integrity { .. }
            | Self::NotFound { .. }
            | Self::TooOld { .. }
            | Self::Refused { .. }
            | Self::Io { .. }
            | Self::Cancelled => false,
        }
    }
}
