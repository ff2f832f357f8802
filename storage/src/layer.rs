//! The rows written since a flush began: what readers see before the engine has it.
//!
//! A layer lives from one flush to the next. While it is the newest it takes batches; then it is frozen, committed to
//! the engine as one, and dropped. Rows with ascending revision keys go to the [`AppendLog`], all others to ordered
//! maps. Where a key is in both, the map holds the later word.

use super::append_log::AppendLog;
use super::engine::Change;
use super::{Keyspace, Row};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a row costs beyond its key and value while it waits, in bytes: slots, map nodes, reference counts.
const ROW_OVERHEAD: usize = 96;

/// Rows of one keyspace that came out of order; `None` marks a removed row.
type Map = BTreeMap<Bytes, Option<Bytes>>;

/// What a layer says about a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing: ask the layer below.
    Unknown,
    /// The row was removed.
    Removed,
    /// The row has this value.
    Present(Bytes),
}

/// See the module. One writer, any number of readers.
#[derive(Debug, Default)]
pub(super) struct Layer {
    ascending: AppendLog,
    maps: [KeyspaceMap; Keyspace::ALL.len()],
    n_rows: AtomicUsize,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct KeyspaceMap {
    rows: RwLock<Map>,
    /// Lets readers pass by an empty map without its lock.
    n_rows: AtomicUsize,
}

impl Layer {
    /// Adds the rows of one batch; readers see all rows of a keyspace at once. Only the writer calls it.
    pub(super) fn write(&self, rows: Vec<Row>) {
        let mut n_rows = 0;
        let mut bytes = 0;
        let mut late: [Vec<(Bytes, Option<Bytes>)>; Keyspace::ALL.len()] = Default::default();
        for row in rows {
            let (keyspace, key, value) = match row {
                Row::Put(keyspace, key, value) => (keyspace, key, Some(value)),
                Row::Delete(keyspace, key) => (keyspace, key, None),
            };
            n_rows += 1;
            bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + ROW_OVERHEAD;
            let out_of_order = &mut late[position(keyspace)];
            let may_append = keyspace == Keyspace::Key && out_of_order.is_empty();
            let appended =
                may_append && value.as_ref().is_some_and(|value| self.append_in_order(&key, value));
            if !appended {
                out_of_order.push((key, value));
            }
        }
        for (keyspace, rows) in Keyspace::ALL.into_iter().zip(late) {
            let map = &self.maps[position(keyspace)];
            let guard = (!rows.is_empty()).then(|| {
                let mut guard = map.rows.write();
                guard.extend(rows);
                map.n_rows.store(guard.len(), Ordering::Release);
                guard
            });
            if keyspace == Keyspace::Key {
                // Under the map's lock where it changed too, so that a scan sees both or neither.
                self.ascending.publish();
            }
            drop(guard);
        }
        self.n_rows.fetch_add(n_rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Appends where the key follows all keys of the layer, those in the map included: so that the map always holds the
    /// later word.
    fn append_in_order(&self, key: &[u8], value: &Bytes) -> bool {
        let map = &self.maps[position(Keyspace::Key)];
        if map.n_rows.load(Ordering::Relaxed) > 0 {
            let guard = map.rows.read();
            if guard.last_key_value().is_some_and(|(last, _)| last.as_ref() >= key) {
                return false;
            }
        }
        self.ascending.append(key, value)
    }

    /// What this layer knows about a key.
    pub(super) fn get(&self, keyspace: Keyspace, key: &[u8]) -> Finding {
        let map = &self.maps[position(keyspace)];
        if map.n_rows.load(Ordering::Acquire) > 0 {
            match map.rows.read().get(key) {
                Some(Some(value)) => return Finding::Present(value.clone()),
                Some(None) => return Finding::Removed,
                None => {}
            }
        }
        if keyspace == Keyspace::Key
            && let Some(value) = self.ascending.get(key)
        {
            return Finding::Present(value.clone());
        }
        Finding::Unknown
    }

    /// Lays this layer's rows from `from` to `to` over what `into` holds.
    pub(super) fn overlay(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        into: &mut Map,
    ) {
        // The lock first: it keeps a batch that changes both from being seen by half.
        let guard = self.maps[position(keyspace)].rows.read();
        if keyspace == Keyspace::Key {
            for (key, value) in self.ascending.range(from, to) {
                into.insert(Bytes::copy_from_slice(key), Some(value.clone()));
            }
        }
        let late =
            guard.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded));
        for (key, value) in late.take_while(|(key, _)| to.is_none_or(|to| key.as_ref() < to)) {
            into.insert(key.clone(), value.clone());
        }
    }

    /// All rows, sorted by keyspace and key, one for each key. For a layer that is no longer written to.
    pub(super) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.n_rows());
        for keyspace in Keyspace::ALL {
            let mut rows = Map::new();
            let map = self.maps[position(keyspace)].rows.read();
            let in_order = keyspace == Keyspace::Key && self.ascending.len() > 0;
            if in_order && map.is_empty() {
                // The common case, without a detour through a map.
                changes.extend(self.ascending.range(&[], None).map(|(key, value)| Change {
                    keyspace,
                    key: Bytes::copy_from_slice(key),
                    value: Some(value.clone()),
                }));
                continue;
            }
            drop(map);
            self.overlay(keyspace, &[], None, &mut rows);
            changes.extend(rows.into_iter().map(|(key, value)| Change { keyspace, key, value }));
        }
        changes
    }

    /// Rows written, repeated ones counted.
    pub(super) fn n_rows(&self) -> usize {
        self.n_rows.load(Ordering::Relaxed)
    }

    /// Memory the rows take, roughly, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn position(keyspace: Keyspace) -> usize {
    // The discriminants count from one, in the order of `Keyspace::ALL`.
    keyspace as usize - 1
}
