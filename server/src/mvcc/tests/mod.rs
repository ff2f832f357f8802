//! Tests of the room as a whole, on the memory engine; the parts have theirs beside them.

mod etcd_hash;
mod model;
mod model_run;
mod store;
mod threads;
mod watch;

use super::watch::WatchLimits;
use super::{Changes, Compaction, KeyRange, Opened, Store, Writer};
use crate::storage::{AppliedMark, Backend, BackendOptions, Batch, EngineKind};
use bytes::Bytes;
use quorate_proto::etcdserverpb::RangeRequest;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

/// A store with a counter for the applied index, driven as the apply thread drives it: one batch for each entry.
pub(super) struct Harness {
    folder: tempfile::TempDir,
    engine: EngineKind,
    pub(super) backend: Arc<Backend>,
    limits: WatchLimits,
    pub(super) store: Arc<Store>,
    pub(super) writer: Writer,
    /// Compactions that were published but not run.
    pub(super) compactions: Vec<Compaction>,
    index: u64,
}

impl Harness {
    pub(super) fn new() -> Harness {
        Harness::with_limits(WatchLimits::default())
    }

    pub(super) fn with_limits(limits: WatchLimits) -> Harness {
        Harness::on(EngineKind::Memory, limits)
    }

    pub(super) fn on(engine: EngineKind, limits: WatchLimits) -> Harness {
        let folder = tempfile::tempdir().unwrap();
        let backend = open_backend(folder.path(), engine);
        let Opened { store, writer, .. } = Store::open_with(Arc::clone(&backend), limits).unwrap();
        let compactions = Vec::new();
        Harness { folder, engine, backend, limits, store, writer, compactions, index: 0 }
    }

    /// Rebuilds everything in memory from the rows; an engine that keeps rows on disk is closed and opened again.
    pub(super) fn reopen(&mut self) {
        if self.engine != EngineKind::Memory {
            self.backend.close().unwrap();
            // An empty store takes the place of the old one, so that nobody holds its files any more.
            let parked = Harness::new();
            self.backend = parked.backend;
            self.store = parked.store;
            self.writer = parked.writer;
            self.compactions.clear();
            self.backend = open_backend(self.folder.path(), self.engine);
        }
        let opened = Store::open_with(Arc::clone(&self.backend), self.limits).unwrap();
        self.store = opened.store;
        self.writer = opened.writer;
        self.compactions = opened.compaction.into_iter().collect();
    }

    pub(super) fn batch(&mut self) -> Batch {
        self.index += 1;
        Batch::applied(AppliedMark { term: 1, index: self.index, leader_member_id: 1 })
    }

    /// Writes a batch and publishes what is in it.
    pub(super) fn publish(&mut self, batch: Batch) -> i64 {
        self.backend.write(batch).unwrap();
        let published = self.writer.publish();
        self.compactions.extend(published.compactions);
        published.revision
    }

    pub(super) fn put(&mut self, key: &str, value: &str) -> i64 {
        self.put_leased(key, value, 0).revision
    }

    pub(super) fn put_leased(&mut self, key: &str, value: &str, lease: i64) -> Arc<Changes> {
        let mut batch = self.batch();
        let mut txn = self.writer.txn(&mut batch);
        txn.put(
            Bytes::copy_from_slice(key.as_bytes()),
            Bytes::copy_from_slice(value.as_bytes()),
            lease,
        );
        let changes = txn.finish();
        self.publish(batch);
        changes
    }

    pub(super) fn delete(&mut self, key: &str, range_end: &str) -> Arc<Changes> {
        let mut batch = self.batch();
        let mut txn = self.writer.txn(&mut batch);
        txn.delete_range(&key_range(key, range_end));
        let changes = txn.finish();
        self.publish(batch);
        changes
    }

    /// The logical part of a compaction.
    pub(super) fn compact(&mut self, revision: i64) {
        let mut batch = self.batch();
        self.writer.compact(&mut batch, revision).unwrap();
        self.publish(batch);
    }

    /// Does what the hub's threads would do until there is nothing left.
    pub(super) fn settle_watches(&self) {
        self.store.hub.settle(&self.store);
    }

    /// The physical part of all compactions that wait.
    pub(super) fn run_compactions(&mut self) {
        for mut compaction in std::mem::take(&mut self.compactions) {
            compaction.run(NonZeroUsize::new(3).unwrap()).unwrap();
        }
    }
}

fn open_backend(path: &Path, engine: EngineKind) -> Arc<Backend> {
    Backend::open(path, BackendOptions { engine, ..BackendOptions::default() }).unwrap()
}

pub(super) fn key_range(key: &str, range_end: &str) -> KeyRange {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    KeyRange::new(bytes(key), bytes(range_end))
}

/// A range request for `[key, range_end)` and nothing else set.
pub(super) fn request(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(range_end.as_bytes()),
        ..RangeRequest::default()
    }
}
