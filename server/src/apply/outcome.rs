//! What an applied entry answers to whoever proposed it.

use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::{AlarmMember, DeleteRangeResponse, PutResponse, TxnResponse};

/// The answer to one request, or the error that all members agree on.
pub type Outcome = Result<Reply, EtcdError>;

/// A successful answer. Headers carry the revision only; the rest is filled in by `api`.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a put.
    Put(PutResponse),
    /// To a delete.
    DeleteRange(DeleteRangeResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a compaction, a lease revocation and everything else that says no more than the revision.
    Done {
        /// Store revision after the entry.
        revision: i64,
    },
    /// To a lease grant.
    LeaseGrant {
        /// Store revision.
        revision: i64,
        /// Id of the lease.
        id: i64,
        /// Granted TTL in seconds.
        ttl: i64,
    },
    /// To a login.
    Authenticated {
        /// Store revision.
        revision: i64,
        /// Auth revision under which the entry was applied.
        auth_revision: u64,
        /// Log index of the entry: the second half of a simple token.
        index: u64,
    },
    /// To a user or password whose hash is no base64: what etcd says to it is not in its table of errors.
    BadPasswordHash,
    /// To an alarm request.
    Alarm {
        /// Store revision.
        revision: i64,
        /// Alarms that were asked for, raised or disarmed.
        alarms: Vec<AlarmMember>,
    },
}
