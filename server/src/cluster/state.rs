//! The cluster as this member has applied it: members, removed ids, cluster version, downgrade state.

use super::Member;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whether a downgrade is under way, and to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DowngradeInfo {
    /// A downgrade is under way.
    pub enabled: bool,
    /// Target as `X.Y.0`; empty when none.
    pub target_version: String,
}

#[derive(Debug, Default)]
struct Inner {
    members: BTreeMap<u64, Arc<Member>>,
    removed: BTreeSet<u64>,
    version: Option<String>,
    downgrade: DowngradeInfo,
}

/// Shared view of the cluster. Written by `apply` only; locks are held for moments.
#[derive(Debug)]
pub struct ClusterState {
    cluster_id: u64,
    local_id: u64,
    inner: RwLock<Inner>,
}

impl ClusterState {
    /// An empty view of the cluster with this id, seen by this member.
    pub fn new(cluster_id: u64, local_id: u64) -> ClusterState {
        ClusterState { cluster_id, local_id, inner: RwLock::default() }
    }

    /// Cluster id.
    pub fn cluster_id(&self) -> u64 {
        self.cluster_id
    }

    /// Id of the member that runs here.
    pub fn local_id(&self) -> u64 {
        self.local_id
    }

    /// Forgets everything but the ids; used when a received snapshot replaces the state.
    pub fn clear(&self) {
        *self.inner.write() = Inner::default();
    }

    /// All members in id order.
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.inner.read().members.values().cloned().collect()
    }

    /// One member.
    pub fn member(&self, id: u64) -> Option<Arc<Member>> {
        self.inner.read().members.get(&id).cloned()
    }

    /// True when the member that runs here does not vote.
    pub fn is_local_learner(&self) -> bool {
        self.member(self.local_id).is_some_and(|member| member.is_learner)
    }

    /// True when this id was a member once and can never come back.
    pub fn is_removed(&self, id: u64) -> bool {
        self.inner.read().removed.contains(&id)
    }

    /// Number of voting members.
    pub fn voters(&self) -> usize {
        self.inner.read().members.values().filter(|member| !member.is_learner).count()
    }

    /// Adds a member or replaces what is known of it.
    pub fn put_member(&self, member: Member) {
        self.inner.write().members.insert(member.id, Arc::new(member));
    }

    /// Removes a member for good.
    pub fn remove_member(&self, id: u64) {
        let mut inner = self.inner.write();
        inner.members.remove(&id);
        inner.removed.insert(id);
    }

    /// Cluster version as `X.Y.0`, once decided.
    pub fn version(&self) -> Option<String> {
        self.inner.read().version.clone()
    }

    /// Sets the cluster version.
    pub fn set_version(&self, version: String) {
        self.inner.write().version = Some(version);
    }

    /// Downgrade state.
    pub fn downgrade(&self) -> DowngradeInfo {
        self.inner.read().downgrade.clone()
    }

    /// Sets the downgrade state.
    pub fn set_downgrade(&self, info: DowngradeInfo) {
        self.inner.write().downgrade = info;
    }
}
