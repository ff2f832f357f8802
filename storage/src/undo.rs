//! The old values of changed rows, kept for one view of an engine that has no snapshots of its own.
//!
//! A commit keeps the old value of a row before it changes the row. So whoever reads the row first and looks here
//! afterwards sees it as it was when the view began, whatever happened in between.

use super::engine::Change;
use super::{EngineError, Keyspace};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A view that had to keep more than this expires, in bytes.
const UNDO_BYTES_MAX: usize = 256 << 20;
/// What a kept row costs beyond its key and value, in bytes.
const ROW_OVERHEAD: usize = 96;

/// See the module. `None` stands for a row that was not there.
#[derive(Debug, Default)]
pub(super) struct Undo {
    rows: RwLock<BTreeMap<(Keyspace, Bytes), Option<Bytes>>>,
    bytes: AtomicUsize,
    is_expired: AtomicBool,
}

impl Undo {
    /// Keeps the old value of a row, unless an older one is kept.
    pub(super) fn keep(&self, change: &Change, old: Option<&Bytes>) {
        if self.is_expired.load(Ordering::SeqCst) {
            return;
        }
        let mut rows = self.rows.write();
        let place = (change.keyspace, change.key.clone());
        rows.entry(place).or_insert_with(|| {
            let size = change.key.len() + old.map_or(0, Bytes::len) + ROW_OVERHEAD;
            self.bytes.fetch_add(size, Ordering::Relaxed);
            old.cloned()
        });
        if self.bytes.load(Ordering::Relaxed) > UNDO_BYTES_MAX {
            self.is_expired.store(true, Ordering::SeqCst);
            rows.clear();
        }
    }

    /// The old value of a row, itself `None` where there was none; `None` where the row was not changed.
    pub(super) fn get(
        &self,
        keyspace: Keyspace,
        key: &[u8],
    ) -> Result<Option<Option<Bytes>>, EngineError> {
        let place = (keyspace, Bytes::copy_from_slice(key));
        let old = self.rows.read().get(&place).cloned();
        // Last, since a view that expires forgets its rows.
        self.check()?;
        Ok(old)
    }

    /// Takes back all changes from `from` (included) to `to` (excluded) in rows that were just read.
    pub(super) fn take_back(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        into: &mut BTreeMap<Bytes, Option<Bytes>>,
    ) -> Result<(), EngineError> {
        let low = Bound::Included((keyspace, Bytes::copy_from_slice(from)));
        let is_inside = |place: &(Keyspace, Bytes)| {
            place.0 == keyspace && to.is_none_or(|to| place.1.as_ref() < to)
        };
        let rows = self.rows.read();
        let old = rows.range((low, Bound::Unbounded));
        for ((_, key), value) in old.take_while(|(place, _)| is_inside(place)) {
            match value {
                Some(value) => into.insert(key.clone(), Some(value.clone())),
                None => into.remove(key),
            };
        }
        drop(rows);
        self.check()
    }

    fn check(&self) -> Result<(), EngineError> {
        let is_expired = self.is_expired.load(Ordering::SeqCst);
        if is_expired { Err(EngineError::ViewExpired) } else { Ok(()) }
    }
}
