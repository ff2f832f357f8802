//! The cluster version and, following it, the storage version: the leader sets the first once the cluster has none, or
//! another one than it should; every member writes the second into its own state.

use crate::apply::{Outcome, State};
use crate::raft::Raft;
use crate::storage::{Batch, Keyspace};
use crate::types::{CLUSTER_VERSION, STORAGE_VERSION_ROW};
use quorate_proto::etcdserverpb::InternalRaftRequest;
use quorate_proto::membershippb::ClusterVersionSetRequest;
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks, etcd's monitor interval.
const INTERVAL: Duration = Duration::from_secs(4);

/// Runs until the task is dropped. All members of a Quorate cluster speak [`CLUSTER_VERSION`]; while a downgrade is
/// under way, which is looked for every `downgrade_interval`, the version is its target.
pub async fn keep_cluster_version(
    raft: Raft<Outcome>,
    state: Arc<State>,
    downgrade_interval: Duration,
) {
    let local = state.cluster.local_id();
    let mut leadership = raft.watch_leader();
    loop {
        let leads = leadership.borrow_and_update().leader == Some(local);
        if leads {
            keep(&raft, &state).await;
        }
        follow(&state);
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(INTERVAL.min(downgrade_interval)) => {}
        }
    }
}

async fn keep(raft: &Raft<Outcome>, state: &State) {
    let downgrade = state.cluster.downgrade();
    let now = state.cluster.version();
    let wanted = match downgrade.enabled {
        // A cluster without a version gets one first.
        true if now.is_some() => downgrade.target_version,
        _ => CLUSTER_VERSION.to_owned(),
    };
    if now.as_ref() == Some(&wanted) {
        return;
    }
    let cluster_version_set = Some(ClusterVersionSetRequest { ver: wanted.clone() });
    let request = InternalRaftRequest { cluster_version_set, ..Default::default() };
    match raft.propose(request).await {
        Ok(_) => tracing::info!(cluster_version = short(&wanted), "cluster version is updated"),
        Err(error) => tracing::warn!(%error, "failed to set cluster version"),
    }
}

/// Brings the storage version of this member's state to the cluster's. The rows of 3.6 and 3.7 are the same; what the
/// number changes is which etcd takes a snapshot of them.
fn follow(state: &State) {
    let Some(version) = state.cluster.version() else { return };
    if state.storage_version() == version {
        return;
    }
    let mut batch = Batch::housekeeping();
    batch.put(Keyspace::Meta, STORAGE_VERSION_ROW, version.clone());
    match state.backend.write(batch) {
        Ok(()) => tracing::info!(new_storage_version = version, "updated storage version"),
        Err(error) => tracing::warn!(%error, "failed to update storage version"),
    }
    if state.cluster.downgrade().enabled {
        tracing::info!(target_version = version, "The server is ready to downgrade");
    }
}

/// `X.Y` of `X.Y.Z`.
fn short(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(short, _)| short)
}
