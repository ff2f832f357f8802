//! What can go wrong between a proposal and its outcome, and what stops a member.
//!
//! Texts for clients are not made here: `api` maps the classes to etcd's errors.

use std::sync::Arc;

/// An error after which the member must not go on: a failed sync, damaged files, a state machine that cannot apply.
/// The node watches for it ([`super::Raft::fatal`]) and ends the process with a non-zero code.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Fatal {
    reason: Arc<str>,
}

impl Fatal {
    /// A fatal error with its reason: a lower-case fragment that names the file or the step.
    pub fn new(reason: impl std::fmt::Display) -> Fatal {
        Fatal { reason: reason.to_string().into() }
    }
}

impl From<std::io::Error> for Fatal {
    fn from(error: std::io::Error) -> Fatal {
        Fatal::new(error)
    }
}

/// Why a request timed out: etcd tells three cases apart (`etcd:server/etcdserver/server.go`, parseProposeCtxErr).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutCause {
    /// Nothing is known.
    Plain,
    /// A leader was elected shortly after the request started: the old one may have taken it along.
    LeaderFailure,
    /// The leader (or, on the leader, a quorum) was not connected since the request started.
    ConnectionLost,
}

/// Why a proposal has no outcome. Except for [`ProposeError::Timeout`] and [`ProposeError::LeaderChanged`], it is
/// certain that the proposal is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No member leads.
    #[error("no leader")]
    NoLeader,
    /// The entry was taken by a leader that lost its office; it may or may not be applied later.
    #[error("leader changed")]
    LeaderChanged,
    /// No outcome in time; it may or may not be applied later.
    #[error("no outcome in time ({0:?})")]
    Timeout(TimeoutCause),
    /// Commit index and applied index are too far apart, or the queue is full.
    #[error("too many requests")]
    TooManyRequests,
    /// The encoded request is larger than `--max-request-bytes` allows.
    #[error("request is too large")]
    TooLarge,
    /// A configuration change was built on a membership that is no longer in force, or openraft refuses it.
    #[error("configuration change refused: {0}")]
    ChangeRefused(String),
    /// This member is stopping.
    #[error("stopped")]
    Stopped,
}

impl ProposeError {
    /// True when the proposal may still be applied although no outcome is known.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, ProposeError::LeaderChanged | ProposeError::Timeout(_))
    }
}

/// Why there is no linearizable read point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadIndexError {
    /// The leader changed while the read waited.
    #[error("leader changed")]
    LeaderChanged,
    /// No quorum confirmed the leader in time.
    #[error("no read index in time")]
    Timeout,
    /// This member is stopping.
    #[error("stopped")]
    Stopped,
}

/// Why leadership was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This member does not lead.
    #[error("not leader")]
    NotLeader,
    /// The target is not a voter of this cluster.
    #[error("bad leader transferee")]
    BadTarget,
    /// The target did not lead in time.
    #[error("leader transfer took too long")]
    Timeout,
    /// This member is stopping.
    #[error("stopped")]
    Stopped,
}

/// Why a forwarded call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// The member is unknown, cannot be reached, or did not answer in time.
    #[error("member cannot be reached: {0}")]
    Unreachable(String),
    /// The member answered with an error of its own, whose encoding is the handler's business.
    #[error("refused by the member")]
    Refused(bytes::Bytes),
}
