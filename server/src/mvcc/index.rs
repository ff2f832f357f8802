//! The ordered map from keys to their histories, shared by the one writer and many readers. It holds no values.
//!
//! Entries carry revisions, so a reader that is pinned to a published revision does not see what the writer adds
//! above it. That allows two things: the writer updates the index before its batch is on disk, and a long walk lets
//! go of the lock between chunks without losing its consistent picture. Only a compaction above the pinned revision
//! can disturb such a walk; [`super::ReadView`] checks for that when it is done.

use super::key_index::{Found, KeyIndex, RowRef};
use super::{KeyRange, Revision, RevisionKey};
use parking_lot::{RwLock, RwLockWriteGuard};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, ControlFlow};

/// Keys visited under one hold of the lock: some 30 µs, which is what a writer may have to wait for a reader.
const WALK_CHUNK: usize = 512;

/// What a put found out about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PutFacts {
    pub(super) created: i64,
    pub(super) version: i64,
    pub(super) previous_lease: i64,
}

/// Key → history.
#[derive(Debug, Default)]
pub(super) struct Index {
    map: RwLock<BTreeMap<Box<[u8]>, KeyIndex>>,
}

/// Where a chunked compaction of the index stands: the last key it has done.
#[derive(Debug, Default)]
pub(super) struct CompactCursor {
    done: Option<Box<[u8]>>,
}

impl Index {
    /// Takes over a map that was built while nobody else could look.
    pub(super) fn from_map(map: BTreeMap<Box<[u8]>, KeyIndex>) -> Index {
        Index { map: RwLock::new(map) }
    }

    /// Records a put and returns what its row must say.
    pub(super) fn put(&self, key: &[u8], revision: Revision, lease: i64) -> PutFacts {
        let mut map = self.map.write();
        // Always making an owned key costs less than searching twice for a new one.
        let mut entry = match map.entry(key.into()) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                entry.insert(KeyIndex::created(revision, lease));
                return PutFacts { created: revision.main, version: 1, previous_lease: 0 };
            }
        };
        let history = entry.get_mut();
        let previous_lease = history.lease();
        let before = history.newest();
        history.put(revision, lease);
        match before {
            Some(Found { created, version, .. }) => {
                PutFacts { created, version: version + 1, previous_lease }
            }
            None => PutFacts { created: revision.main, version: 1, previous_lease },
        }
    }

    /// Records a delete of a key that is alive; returns the lease that the key was attached to.
    pub(super) fn tombstone(&self, key: &[u8], revision: Revision) -> i64 {
        let mut map = self.map.write();
        let history =
            map.get_mut(key).expect("only keys that the index has just listed are deleted");
        let lease = history.lease();
        let was_alive = history.tombstone(revision);
        debug_assert!(was_alive, "a key is deleted once in a life");
        lease
    }

    /// The row that holds the pair of `key` at main revision `at`.
    pub(super) fn row_at(&self, key: &[u8], at: i64) -> Option<Revision> {
        self.map.read().get(key)?.row_at(at)
    }

    /// The rows of `key` from main revision `from` to `to`, both included; the oldest `n_max` of them.
    pub(super) fn rows_between(
        &self,
        key: &[u8],
        from: i64,
        to: i64,
        n_max: usize,
    ) -> Vec<RevisionKey> {
        let map = self.map.read();
        let rows = map.get(key).map_or(&[][..], |history| history.rows_since(from));
        let rows = rows.iter().take(n_max).map(|row| row.row_key());
        rows.take_while(|row| row.revision.main <= to).collect()
    }

    /// Visits the histories in `range` in key order, a chunk at a time.
    pub(super) fn walk(&self, range: &KeyRange, mut visit: impl FnMut(&[u8], &KeyIndex)) {
        self.walk_while(range, |key, history| {
            visit(key, history);
            ControlFlow::Continue(())
        });
    }

    /// Visits the histories in `range` in key order, a chunk at a time, until `visit` has enough.
    pub(super) fn walk_while(
        &self,
        range: &KeyRange,
        mut visit: impl FnMut(&[u8], &KeyIndex) -> ControlFlow<()>,
    ) {
        if range.is_empty() {
            return;
        }
        if let Some(key) = range.as_single() {
            if let Some(history) = self.map.read().get(key.as_ref()) {
                let _ = visit(key, history);
            }
            return;
        }
        let (start, end) = range.bounds();
        let mut last: Option<Box<[u8]>> = None;
        loop {
            let from = last.as_deref().map_or(start, Bound::Excluded);
            if is_past(from, end) {
                return;
            }
            let map = self.map.read();
            let mut visited = 0;
            let mut newest = None;
            for (key, history) in map.range::<[u8], _>((from, end)).take(WALK_CHUNK) {
                if visit(key, history).is_break() {
                    return;
                }
                visited += 1;
                newest = Some(key);
            }
            if visited < WALK_CHUNK {
                return;
            }
            last = newest.cloned();
        }
    }

    /// Trims the next keys to what a compaction at `at` leaves until `removed` has grown by about `n_rows_max` or the lock
    /// was held long enough. Returns false when the end of the map is reached.
    pub(super) fn compact_chunk(
        &self,
        at: i64,
        cursor: &mut CompactCursor,
        n_rows_max: usize,
        removed: &mut Vec<RevisionKey>,
    ) -> bool {
        let mut map = self.map.write();
        let from = cursor.done.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let enough = removed.len() + n_rows_max;
        let mut emptied: Vec<Box<[u8]>> = Vec::new();
        let mut last = None;
        let chunk = map.range_mut::<[u8], _>((from, Bound::Unbounded)).take(WALK_CHUNK);
        for (key, history) in chunk {
            if removed.len() >= enough {
                break;
            }
            let is_left = history.compact(at, |row: RowRef| removed.push(row.row_key()));
            if !is_left {
                emptied.push(key.clone());
            }
            last = Some(key);
        }
        let Some(last) = last.cloned() else { return false };
        for key in emptied {
            map.remove(&key);
        }
        cursor.done = Some(last);
        // The compaction comes back at once; a writer that waits goes first.
        RwLockWriteGuard::unlock_fair(map);
        true
    }
}

/// Whether nothing can lie between the bounds; `BTreeMap::range` panics on some of these.
fn is_past(from: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (from, end) {
        (Bound::Excluded(from), Bound::Excluded(end)) => from >= end,
        _ => false,
    }
}
