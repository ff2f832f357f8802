//! Kinds of requests, by etcd's names for them, and times that are kept for each kind without looking a label up.

use super::builder::{Builder, Doubling};
use prometheus::{Histogram, HistogramVec};
use quorate_proto::etcdserverpb::InternalRaftRequest;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Which request it is. Names: `etcd:server/etcdserver/v3_server.go`, getRequestType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is the request of its name.
pub enum RequestKind {
    Range,
    ReadonlyTxn,
    Put,
    DeleteRange,
    Txn,
    Compaction,
    LeaseGrant,
    LeaseRevoke,
    LeaseCheckpoint,
    Alarm,
    Authenticate,
    AuthEnable,
    AuthDisable,
    AuthStatus,
    AuthUserGet,
    AuthUserList,
    AuthRoleGet,
    AuthRoleList,
    AuthUserAdd,
    AuthUserDelete,
    AuthUserChangePassword,
    AuthUserGrantRole,
    AuthUserRevokeRole,
    AuthRoleAdd,
    AuthRoleDelete,
    AuthRoleGrantPermission,
    AuthRoleRevokePermission,
    ClusterVersionSet,
    ClusterMemberAttrSet,
    DowngradeInfoSet,
    Unknown,
}

/// How many kinds there are.
const KINDS: usize = RequestKind::Unknown as usize + 1;

impl RequestKind {
    /// The kind of a proposal.
    pub fn of(request: &InternalRaftRequest) -> RequestKind {
        let kinds = [
            (request.put.is_some(), RequestKind::Put),
            (request.txn.is_some(), RequestKind::Txn),
            (request.delete_range.is_some(), RequestKind::DeleteRange),
            (request.lease_grant.is_some(), RequestKind::LeaseGrant),
            (request.lease_revoke.is_some(), RequestKind::LeaseRevoke),
            (request.lease_checkpoint.is_some(), RequestKind::LeaseCheckpoint),
            (request.compaction.is_some(), RequestKind::Compaction),
            (request.alarm.is_some(), RequestKind::Alarm),
            (request.authenticate.is_some(), RequestKind::Authenticate),
            (request.auth_enable.is_some(), RequestKind::AuthEnable),
            (request.auth_disable.is_some(), RequestKind::AuthDisable),
            (request.auth_user_add.is_some(), RequestKind::AuthUserAdd),
            (request.auth_user_delete.is_some(), RequestKind::AuthUserDelete),
            (request.auth_user_change_password.is_some(), RequestKind::AuthUserChangePassword),
            (request.auth_user_grant_role.is_some(), RequestKind::AuthUserGrantRole),
            (request.auth_user_revoke_role.is_some(), RequestKind::AuthUserRevokeRole),
            (request.auth_role_add.is_some(), RequestKind::AuthRoleAdd),
            (request.auth_role_delete.is_some(), RequestKind::AuthRoleDelete),
            (request.auth_role_grant_permission.is_some(), RequestKind::AuthRoleGrantPermission),
            (request.auth_role_revoke_permission.is_some(), RequestKind::AuthRoleRevokePermission),
            (request.cluster_version_set.is_some(), RequestKind::ClusterVersionSet),
            (request.cluster_member_attr_set.is_some(), RequestKind::ClusterMemberAttrSet),
            (request.downgrade_info_set.is_some(), RequestKind::DowngradeInfoSet),
        ];
        let known = kinds.into_iter().find(|(is_it, _)| *is_it);
        known.map_or(RequestKind::Unknown, |(_, kind)| kind)
    }

    /// The label's value.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Times by kind and success. A series comes into being with its first value, as in etcd.
#[derive(Clone, Debug)]
pub struct KindTimes {
    vec: HistogramVec,
    /// Values of labels that come before the kind.
    before: &'static [&'static str],
    cells: Arc<[[OnceLock<Histogram>; 2]; KINDS]>,
}

impl KindTimes {
    pub(super) fn new(
        builder: &Builder<'_>,
        name: &str,
        help: &str,
        labels: &[&str],
        before: &'static [&'static str],
        buckets: Doubling,
    ) -> KindTimes {
        let vec = builder.doubling(name, help, labels, buckets);
        let cells = std::array::from_fn(|_| [OnceLock::new(), OnceLock::new()]);
        KindTimes { vec, before, cells: Arc::new(cells) }
    }

    /// Notes how long one took.
    pub fn observe(&self, kind: RequestKind, is_success: bool, took: Duration) {
        let cell = &self.cells[kind as usize][usize::from(is_success)];
        let histogram = cell.get_or_init(|| {
            let (name, success) = (kind.name(), if is_success { "true" } else { "false" });
            let mut labels = self.before.to_vec();
            labels.extend([name.as_str(), success]);
            self.vec.with_label_values(&labels)
        });
        histogram.observe(took.as_secs_f64());
    }
}
