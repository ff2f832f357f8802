//! The cluster version: the leader sets it once the cluster has none, or an older one.

use crate::apply::{Outcome, State};
use crate::raft::Raft;
use crate::types::CLUSTER_VERSION;
use quorate_proto::etcdserverpb::InternalRaftRequest;
use quorate_proto::membershippb::ClusterVersionSetRequest;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks, etcd's monitor interval.
const INTERVAL: Duration = Duration::from_secs(4);

/// Runs until the task is dropped. All members of a Quorate cluster speak [`CLUSTER_VERSION`].
pub async fn keep_cluster_version(raft: Raft<Outcome>, state: Arc<State>) {
    let local = state.cluster.local_id();
    let mut leadership = raft.watch_leader();
    loop {
        let leads = leadership.borrow_and_update().leader == Some(local);
        if leads && state.cluster.version().as_deref() != Some(CLUSTER_VERSION) {
            let cluster_version_set =
                Some(ClusterVersionSetRequest { ver: CLUSTER_VERSION.to_owned() });
            let request = InternalRaftRequest { cluster_version_set, ..Default::default() };
            match raft.propose(request).await {
                Ok(_) => tracing::info!(cluster_version = "3.7", "set cluster version"),
                Err(error) => tracing::warn!(%error, "failed to set cluster version"),
            }
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
