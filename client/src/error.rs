//! The client's error: what went wrong, whether trying again is safe, and the server's exact text.

use quorate_proto::errors::EtcdError;
use std::time::Duration;
use tonic::{Code, Status};

/// Result with [`ClientError`].
pub type Result<T> = std::result::Result<T, ClientError>;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The configuration cannot be used: a bad endpoint, an unreadable TLS file.
    #[error("{0}")]
    Config(String),
    /// No connection could be made, so nothing has left this machine.
    #[error("cannot connect to {endpoint}: {cause}")]
    Connect {
        /// The endpoint tried last.
        endpoint: String,
        /// The reason given by the network or TLS.
        cause: String,
    },
    /// The server answered with an error, or the connection broke under the call.
    #[error("{}", .status.message())]
    Server {
        /// The endpoint that was asked.
        endpoint: String,
        /// The status as received.
        status: Box<Status>,
        /// True if the request surely was not sent (the connection was closed before).
        unsent: bool,
    },
    /// The request timeout passed.
    #[error("context deadline exceeded")]
    Timeout {
        /// The limit that passed.
        after: Duration,
        /// What the last attempt before it ran into, if there was one.
        last: Option<Box<ClientError>>,
    },
    /// A watch cannot go on: history up to this revision is gone.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted {
        /// The oldest revision a watch may start from.
        compact_revision: i64,
    },
    /// The server cancelled a watch.
    #[error("{reason}")]
    WatchCanceled {
        /// The server's reason.
        reason: String,
    },
    /// A snapshot's bytes do not match the hash at its end.
    #[error("snapshot is damaged: expected sha256 {expected}, got {got}")]
    SnapshotDamaged {
        /// Hash sent by the server, hex.
        expected: String,
        /// Hash of the bytes received, hex.
        got: String,
    },
    /// A snapshot stream ended early.
    #[error("snapshot is cut short after {received} bytes")]
    SnapshotShort {
        /// Bytes received.
        received: u64,
    },
    /// An HTTP helper call failed.
    #[error("{method} {url} failed: {cause}")]
    Http {
        /// The HTTP method.
        method: &'static str,
        /// The address asked.
        url: String,
        /// What went wrong.
        cause: String,
    },
}

impl ClientError {
    /// The gRPC code, [`Code::Unknown`] where there was none.
    pub fn code(&self) -> Code {
        match self {
            ClientError::Server { status, .. } => status.code(),
            ClientError::Connect { .. } => Code::Unavailable,
            ClientError::Timeout { .. } => Code::DeadlineExceeded,
            ClientError::Compacted { .. } => Code::OutOfRange,
            ClientError::WatchCanceled { .. } => Code::Cancelled,
            ClientError::SnapshotDamaged { .. } | ClientError::SnapshotShort { .. } => {
                Code::DataLoss
            }
            ClientError::Config(_) | ClientError::Http { .. } => Code::Unknown,
        }
    }

    /// The text as the server sent it, or our own for errors of this machine.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The etcd error whose text this is, if it is one.
    pub fn etcd(&self) -> Option<EtcdError> {
        match self {
            ClientError::Server { status, .. } => EtcdError::from_text(status.message()),
            ClientError::Compacted { .. } => Some(EtcdError::Compacted),
            ClientError::WatchCanceled { reason } => EtcdError::ALL
                .iter()
                .copied()
                .find(|error| reason == error.text() || reason.ends_with(error.text())),
            _ => None,
        }
    }

    /// True if the member could not be reached or said that it cannot serve now.
    pub fn is_unavailable(&self) -> bool {
        match self {
            ClientError::Timeout { last, .. } => last.as_ref().is_some_and(|e| e.is_unavailable()),
            other => other.code() == Code::Unavailable,
        }
    }

    /// True if the request surely had no effect because it never left this machine.
    pub fn is_unsent(&self) -> bool {
        match self {
            ClientError::Config(_) | ClientError::Connect { .. } => true,
            ClientError::Server { unsent, .. } => *unsent,
            _ => false,
        }
    }

    /// True if a read with this error may be tried again, now or on another member.
    pub fn is_retryable(&self) -> bool {
        self.is_unavailable()
            || matches!(self, ClientError::Server { status, .. } if status.code() == Code::Internal
                && status.message().contains("h2 protocol error"))
    }

    /// True if a write with this error may or may not have been done. Read before writing again.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            ClientError::Timeout { last, .. } => last.as_ref().is_none_or(|e| !e.is_unsent()),
            ClientError::Server { status, unsent, .. } => {
                let refused = matches!(self.etcd(), Some(EtcdError::NoLeader | EtcdError::Stopped));
                let lost = matches!(
                    status.code(),
                    Code::Unavailable | Code::Internal | Code::Cancelled | Code::DeadlineExceeded
                );
                !unsent && lost && !refused
            }
            _ => false,
        }
    }

    /// Turns a received status into an error; knows by its sources whether the request had left.
    pub(crate) fn from_status(endpoint: &str, status: Status) -> Self {
        if let Some(cause) = crate::dial::dial_cause(&status) {
            return ClientError::Connect { endpoint: endpoint.to_owned(), cause };
        }
        let unsent = was_unsent(&status);
        let status = match broken_connection(&status) {
            Some(cause) => Status::unavailable(format!("connection is broken: {cause}")),
            None => go_limit_text(status),
        };
        ClientError::Server { endpoint: endpoint.to_owned(), status: Box::new(status), unsent }
    }
}

/// The cause of a status that no server has sent: tonic makes one of code Unknown when a connection breaks.
fn broken_connection(status: &Status) -> Option<String> {
    let transport = std::error::Error::source(status)?;
    let is_transport = transport.is::<tonic::transport::Error>() || transport.is::<hyper::Error>();
    let mut deepest = transport;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    let is_deadline = deepest.is::<tonic::TimeoutExpired>();
    (is_transport && !is_deadline).then(|| deepest.to_string())
}

/// An answer over our limit is refused with the code and words of Go's library, which scripts know.
fn go_limit_text(status: Status) -> Status {
    let numbers = status
        .message()
        .strip_prefix("Error, decoded message length too large: found ")
        .and_then(|rest| rest.strip_suffix(" bytes"))
        .and_then(|rest| rest.split_once(" bytes, the limit is: "));
    let text = match numbers {
        Some((found, limit)) => {
            format!("grpc: received message larger than max ({found} vs. {limit})")
        }
        None => return status,
    };
    Status::resource_exhausted(text)
}

/// hyper reports a request that it dropped before giving it to the connection as "canceled"; a peer that refuses a
/// stream unprocessed says so by REFUSED_STREAM. In both cases the request had no effect.
fn was_unsent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_canceled()
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        source = error.source();
    }
    false
}
