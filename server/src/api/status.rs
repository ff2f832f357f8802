//! The one place where a client-visible status is made from an error of the rooms below.

use super::call_counters::code_name;
use crate::apply::Reply;
use crate::mvcc::MvccError;
use crate::raft::{ProposeError, ReadIndexError, TimeoutCause, TransferError};
use quorate_proto::errors::EtcdError;
use tonic::Status;

/// The status of a proposal without an outcome.
pub fn from_propose(error: &ProposeError) -> Status {
    match error {
        ProposeError::NoLeader => EtcdError::NoLeader,
        ProposeError::LeaderChanged => EtcdError::LeaderChanged,
        ProposeError::Timeout(TimeoutCause::Plain) => EtcdError::Timeout,
        ProposeError::Timeout(TimeoutCause::LeaderFailure) => EtcdError::TimeoutDueToLeaderFail,
        ProposeError::Timeout(TimeoutCause::ConnectionLost) => {
            EtcdError::TimeoutDueToConnectionLost
        }
        ProposeError::TooManyRequests => EtcdError::TooManyRequests,
        ProposeError::TooLarge => EtcdError::RequestTooLarge,
        ProposeError::ChangeRefused(_) => EtcdError::UnhealthyCluster,
        ProposeError::Stopped => EtcdError::Stopped,
    }
    .into()
}

/// The status of a linearizable read without a read index.
pub fn from_read_index(error: ReadIndexError) -> Status {
    match error {
        ReadIndexError::LeaderChanged => EtcdError::LeaderChanged,
        ReadIndexError::Timeout => EtcdError::Timeout,
        ReadIndexError::Stopped => EtcdError::Stopped,
    }
    .into()
}

/// The status of a transfer that did not happen. One text is not in etcd's table and goes out as Unknown.
pub fn from_transfer(error: TransferError) -> Status {
    match error {
        TransferError::NotLeader => EtcdError::NotLeader.into(),
        TransferError::BadTarget => EtcdError::BadLeaderTransferee.into(),
        TransferError::Timeout => {
            Status::unknown("etcdserver: request timed out, leader transfer took too long")
        }
        TransferError::Stopped => EtcdError::Stopped.into(),
    }
}

/// The status of a read that was refused or could not be done.
pub fn from_mvcc(error: &MvccError) -> Status {
    match error.refusal() {
        Some(refusal) => refusal.into(),
        None => Status::unknown(error.to_string()),
    }
}

/// A login by password of a user that has none. The text is not in etcd's table and goes out as Unknown.
pub fn no_password_user() -> Status {
    Status::unknown("auth: authentication failed, password was given for no password user")
}

/// An error as grpc-go prints it: the reason of a cancelled watch.
pub fn grpc_text(error: EtcdError) -> String {
    format!("rpc error: code = {} desc = {error}", code_name(error.wire_code()))
}

/// More work than is taken at a time.
pub fn too_many_requests() -> Status {
    EtcdError::TooManyRequests.into()
}

/// A request that has not gone on for too long while others need its room. The text is grpc-go's of a call without time.
pub fn stalled_request() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

/// An answer that its client has not taken for too long while others need its room.
pub fn stalled_answer() -> Status {
    Status::deadline_exceeded("context deadline exceeded")
}

/// Messages of a stream that its client has not taken for too long while others need their room. Clients open such a
/// stream again, and watchers go on where they were.
pub fn stalled_stream() -> Status {
    Status::unavailable("the messages of this stream were not read, and others needed their room")
}

/// A write that was made, and whose answer found no room: as after a timeout, the client must look what is true.
pub fn answer_without_room() -> Status {
    EtcdError::Timeout.into()
}

/// A reply of another kind than the request: a defect of this server, never of the client.
pub fn unexpected_reply(reply: &Reply) -> Status {
    tracing::error!(?reply, "reply does not fit its request");
    Status::internal("etcdserver: reply does not fit its request")
}
