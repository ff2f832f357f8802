//! The client-visible errors of etcd v3.7.1: one variant, one code, one exact text each.
//!
//! Clients match the text. The server builds statuses from this table and the tools recognise them by it.
//! Source: `etcd:api/v3rpc/rpctypes/error.go` and, for the codes that the wire really carries,
//! `etcd:server/etcdserver/api/v3rpc/util.go`.

use tonic::{Code, Status};

macro_rules! errors {
    ($($name:ident => $code:ident, $text:literal;)*) => {
        /// One client-visible error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EtcdError {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl EtcdError {
            /// All errors, in the order of etcd's table.
            pub const ALL: &'static [EtcdError] = &[$(EtcdError::$name),*];

            /// The exact text, with its `etcdserver: ` prefix.
            pub const fn text(self) -> &'static str {
                match self { $(EtcdError::$name => concat!("etcdserver: ", $text)),* }
            }

            /// The code of etcd's table, which is what a client's library reports.
            pub const fn table_code(self) -> Code {
                match self { $(EtcdError::$name => Code::$code),* }
            }
        }
    };
}

errors! {
    EmptyKey => InvalidArgument, "key is not provided";
    KeyNotFound => InvalidArgument, "key not found";
    ValueProvided => InvalidArgument, "value is provided";
    LeaseProvided => InvalidArgument, "lease is provided";
    TooManyOps => InvalidArgument, "too many operations in txn request";
    DuplicateKey => InvalidArgument, "duplicate key given in txn request";
    InvalidClientApiVersion => InvalidArgument, "invalid client api version";
    InvalidSortOption => InvalidArgument, "invalid sort option";
    Compacted => OutOfRange, "mvcc: required revision has been compacted";
    FutureRevision => OutOfRange, "mvcc: required revision is a future revision";
    NoSpace => ResourceExhausted, "mvcc: database space exceeded";
    LeaseNotFound => NotFound, "requested lease not found";
    LeaseExists => FailedPrecondition, "lease already exists";
    LeaseTtlTooLarge => OutOfRange, "too large lease TTL";
    WatchCanceled => Cancelled, "watch canceled";
    MemberExists => FailedPrecondition, "member ID already exist";
    PeerUrlExists => FailedPrecondition, "Peer URLs already exists";
    MemberNotEnoughStarted => FailedPrecondition, "re-configuration failed due to not enough started members";
    MemberBadUrls => InvalidArgument, "given member URLs are invalid";
    MemberNotFound => NotFound, "member not found";
    MemberNotLearner => FailedPrecondition, "can only promote a learner member";
    LearnerNotReady => FailedPrecondition, "can only promote a learner member which is in sync with leader";
    TooManyLearners => FailedPrecondition, "too many learner members in cluster";
    ClusterIdMismatch => FailedPrecondition, "cluster ID mismatch";
    RequestTooLarge => InvalidArgument, "request is too large";
    TooManyRequests => ResourceExhausted, "too many requests";
    RootUserDoesNotExist => FailedPrecondition, "root user does not exist";
    RootUserDoesNotHaveRootRole => FailedPrecondition, "root user does not have root role";
    UserNameAlreadyExists => FailedPrecondition, "user name already exists";
    UserNameIsEmpty => InvalidArgument, "user name is empty";
    UserNameNotFound => FailedPrecondition, "user name not found";
    RoleNameAlreadyExists => FailedPrecondition, "role name already exists";
    RoleNameNotFound => FailedPrecondition, "role name not found";
    RoleNameIsEmpty => InvalidArgument, "role name is empty";
    AuthFailed => InvalidArgument, "authentication failed, invalid user ID or password";
    PermissionNotGiven => InvalidArgument, "permission not given";
    PermissionDenied => PermissionDenied, "permission denied";
    RoleIsNotGrantedToTheUser => FailedPrecondition, "role is not granted to the user";
    PermissionIsNotGrantedToTheRole => FailedPrecondition, "permission is not granted to the role";
    AuthenticationIsNotEnabled => FailedPrecondition, "authentication is not enabled";
    InvalidAuthToken => Unauthenticated, "invalid auth token";
    InvalidAuthManagement => InvalidArgument, "invalid auth management";
    RevisionOfAuthStoreIsOld => InvalidArgument, "revision of auth store is old";
    NoLeader => Unavailable, "no leader";
    NotLeader => FailedPrecondition, "not leader";
    LeaderChanged => Unavailable, "leader changed";
    NotCapable => FailedPrecondition, "not capable";
    Stopped => Unavailable, "server stopped";
    Timeout => Unavailable, "request timed out";
    TimeoutDueToLeaderFail => Unavailable, "request timed out, possibly due to previous leader failure";
    TimeoutDueToConnectionLost => Unavailable, "request timed out, possibly due to connection lost";
    TimeoutWaitAppliedIndex => Unavailable, "request timed out, waiting for the applied index took too long";
    UnhealthyCluster => Unavailable, "unhealthy cluster";
    CorruptCluster => DataLoss, "corrupt cluster";
    NotSupportedForLearner => FailedPrecondition, "rpc not supported for learner";
    BadLeaderTransferee => FailedPrecondition, "bad leader transferee";
    WrongDowngradeTargetVersionFormat => InvalidArgument, "wrong downgrade target version format";
    InvalidDowngradeTargetVersion => InvalidArgument, "invalid downgrade target version";
    ClusterVersionUnavailable => FailedPrecondition, "cluster version not found during downgrade";
    DowngradeInProgress => FailedPrecondition, "cluster has a downgrade job in progress";
    NoInflightDowngrade => FailedPrecondition, "no inflight downgrade job";
    RequestCanceled => Cancelled, "request canceled";
    DeadlineExceeded => DeadlineExceeded, "context deadline exceeded";
}

impl EtcdError {
    /// The code that etcd really sends: two errors of the table are mapped to a value without a status.
    pub const fn wire_code(self) -> Code {
        match self {
            EtcdError::TooManyRequests | EtcdError::MemberNotEnoughStarted => Code::Unknown,
            _ => self.table_code(),
        }
    }

    /// Finds the error with this exact text.
    pub fn from_text(text: &str) -> Option<EtcdError> {
        Self::ALL.iter().copied().find(|error| error.text() == text)
    }
}

impl std::fmt::Display for EtcdError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for EtcdError {}

impl From<EtcdError> for Status {
    fn from(error: EtcdError) -> Status {
        Status::new(error.wire_code(), error.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text finds its own error again, so no two rows can share one.
    #[test]
    fn texts_are_unique() {
        for error in EtcdError::ALL {
            assert_eq!(EtcdError::from_text(error.text()), Some(*error));
        }
    }
}
