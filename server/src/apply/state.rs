//! The state that readers share: each room's own structure, brought together under one roof.

use crate::alarm::AlarmStore;
use crate::auth::AuthStore;
use crate::cluster::ClusterState;
use crate::lease::Lessor;
use crate::mvcc::Store;
use crate::storage::{Backend, Keyspace};
use crate::types::{STORAGE_VERSION, STORAGE_VERSION_ROW};
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::watch;

/// Shared state of a member. Only [`super::Applier`] changes it.
pub struct State {
    store: ArcSwap<Store>,
    /// Raised each time a received snapshot has replaced the store.
    generation: watch::Sender<u64>,
    /// Leases.
    pub lessor: Arc<Lessor>,
    /// Members and versions.
    pub cluster: Arc<ClusterState>,
    /// Users, roles and tokens.
    pub auth: Arc<AuthStore>,
    /// Alarms.
    pub alarms: Arc<AlarmStore>,
    /// Rows.
    pub backend: Arc<Backend>,
}

impl State {
    /// Brings the rooms together.
    pub fn new(
        backend: Arc<Backend>,
        store: Arc<Store>,
        lessor: Arc<Lessor>,
        auth: Arc<AuthStore>,
        cluster: Arc<ClusterState>,
        alarms: Arc<AlarmStore>,
    ) -> State {
        let generation = watch::Sender::new(0);
        State { store: ArcSwap::new(store), generation, lessor, auth, cluster, alarms, backend }
    }

    /// The store as of now. A caller that holds on to it across a wait may be left with one that a snapshot has
    /// replaced; [`State::generation`] tells.
    pub fn store(&self) -> Arc<Store> {
        self.store.load_full()
    }

    /// Store revision.
    pub fn revision(&self) -> i64 {
        self.store.load().revision()
    }

    /// Storage version of the state and of its snapshots, as `X.Y.Z`.
    pub fn storage_version(&self) -> String {
        let row = self.backend.get(Keyspace::Meta, STORAGE_VERSION_ROW).ok().flatten();
        let row = row.and_then(|row| String::from_utf8(row.to_vec()).ok());
        row.unwrap_or_else(|| STORAGE_VERSION.to_owned())
    }

    /// Changes each time a received snapshot has replaced the store.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    pub(super) fn replace_store(&self, store: Arc<Store>) {
        self.store.store(store);
        self.generation.send_modify(|generation| *generation += 1);
    }
}
