//! The store: one index, one set of revisions and the rows below them, shared by all readers. Writing is the
//! [`super::Writer`]'s, of which there is one.

use super::compact_hash::CompactHashes;
use super::index::Index;
use super::rows::Rows;
use super::watch::{Hub, WatchLimits};
use super::{Counters, MvccError, RangeResult, ReadView};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::RangeRequest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The revision of a store that nothing was ever written to.
pub const FIRST_REVISION: i64 = 1;
/// The compact revision of a store that was never compacted.
pub const NEVER_COMPACTED: i64 = -1;

/// The key-value store as readers see it: everything up to the published revision.
///
/// The compact revision is never above the published one. Both only grow.
#[derive(Debug)]
pub struct Store {
    pub(super) rows: Rows,
    pub(super) index: Index,
    /// The newest revision that readers may see.
    current: AtomicI64,
    /// What is below was forgotten.
    compact: AtomicI64,
    /// The compact revision whose rows are all gone from storage.
    finished_compact: AtomicI64,
    is_retired: AtomicBool,
    pub(super) compact_hashes: CompactHashes,
    pub(super) hub: Hub,
    pub(super) counters: Arc<Counters>,
}

impl Store {
    pub(super) fn new(
        rows: Rows,
        index: Index,
        current: i64,
        compact: i64,
        finished_compact: i64,
        limits: WatchLimits,
        counters: Arc<Counters>,
    ) -> Store {
        Store {
            rows,
            index,
            current: AtomicI64::new(current),
            compact: AtomicI64::new(compact),
            finished_compact: AtomicI64::new(finished_compact),
            is_retired: AtomicBool::new(false),
            compact_hashes: CompactHashes::default(),
            hub: Hub::new(current, limits, Arc::clone(&counters)),
            counters,
        }
    }

    /// The published revision: what a response header carries.
    pub fn revision(&self) -> i64 {
        self.current.load(Ordering::Acquire)
    }

    /// The revision of the last compaction, [`NEVER_COMPACTED`] before the first.
    pub fn compact_revision(&self) -> i64 {
        self.compact.load(Ordering::Acquire)
    }

    /// The revision of the last compaction that has removed all its rows, [`NEVER_COMPACTED`] before the first.
    pub fn finished_compact_revision(&self) -> i64 {
        self.finished_compact.load(Ordering::Acquire)
    }

    /// The counters of the room.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Runs `read` on a view that is pinned to the published revision, so that several reads see one state.
    ///
    /// When a compaction overtakes the view, `read` runs again on a newer one: it must not have side effects.
    ///
    /// # Errors
    /// What `read` returns.
    pub fn read<T>(
        &self,
        read: impl Fn(&ReadView<'_>) -> Result<T, MvccError>,
    ) -> Result<T, MvccError> {
        loop {
            let view = ReadView::published(self);
            let outcome = read(&view);
            if self.is_retired() {
                // The rows below may be those of another state by now.
                return Err(EtcdError::Stopped.into());
            }
            if !view.is_overtaken() {
                return outcome;
            }
        }
    }

    /// Ends this store because its rows are about to be replaced by those of a snapshot: reads are refused as if the
    /// member were stopping, and compactions do nothing more. A new store is opened on the new rows.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
    }

    /// Whether [`Store::retire`] was called.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    /// Answers a range request by etcd's rules (`reference/etcd-api.md`, section 5.1).
    ///
    /// # Errors
    /// Refuses a revision that is compacted or in the future; fails where storage does.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, MvccError> {
        self.read(|view| view.range(request))
    }

    /// Calls `visit` with every live key that is attached to a lease, and the lease: what the lease room is rebuilt from.
    pub fn for_each_leased(&self, mut visit: impl FnMut(&[u8], i64)) {
        self.index.walk(&super::KeyRange::all(), |key, history| {
            if history.lease() != 0 {
                visit(key, history.lease());
            }
        });
    }

    /// Makes what was written up to `current` visible. The compact revision follows the current one, never the reverse.
    pub(super) fn publish(&self, current: i64, compact: i64) {
        debug_assert!(compact <= current);
        self.current.store(current, Ordering::Release);
        self.compact.store(compact, Ordering::Release);
    }

    /// Records that the rows of the compaction at `revision` are gone.
    pub(super) fn finish_compact(&self, revision: i64) {
        self.finished_compact.store(revision, Ordering::Release);
    }

    /// Checks a revision that a client named against the two that bound the history.
    pub(super) fn check_revision(
        revision: i64,
        current: i64,
        compact: i64,
    ) -> Result<(), EtcdError> {
        if revision > current {
            Err(EtcdError::FutureRevision)
        } else if revision < compact {
            Err(EtcdError::Compacted)
        } else {
            Ok(())
        }
    }
}
