//! Opening a store: the index is rebuilt from the rows, the revisions from rows and marks. Leases are attached by
//! whoever owns them, from [`Store::for_each_leased`].
//!
//! Facts: `reference/file-formats.md`, section 6 (start-up revision); `etcd:server/storage/mvcc/kvstore.go`.

use super::compaction::Compaction;
use super::index::Index;
use super::key_index::KeyIndex;
use super::rows::{FINISHED_COMPACT, Rows, SCHEDULED_COMPACT};
use super::store::{FIRST_REVISION, NEVER_COMPACTED};
use super::watch::WatchLimits;
use super::{Counters, MvccError, Revision, RevisionKey, Store, Writer};
use crate::storage::{Backend, Keyspace};
use prost::Message;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::sync::Arc;

/// An open store: the part for all readers, the part for the one writer, and work that was left over.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<Store>,
    /// The only writer of it.
    pub writer: Writer,
    /// The physical part of a compaction that the last run did not finish.
    pub compaction: Option<Compaction>,
}

/// The fields of a row that the index needs; the value is passed over without being copied.
#[derive(Clone, PartialEq, Message)]
struct RowFacts {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(int64, tag = "2")]
    create_revision: i64,
    #[prost(int64, tag = "4")]
    version: i64,
    #[prost(int64, tag = "6")]
    lease: i64,
}

impl Store {
    /// Reads the rows of `backend` and rebuilds everything that lives in memory.
    ///
    /// # Errors
    /// Storage fails or a row is damaged.
    pub fn open(backend: Arc<Backend>) -> Result<Opened, MvccError> {
        Store::open_with(backend, WatchLimits::default())
    }

    /// Like [`Store::open`], with other limits for the watch hub.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_with(backend: Arc<Backend>, limits: WatchLimits) -> Result<Opened, MvccError> {
        let rows = Rows::new(backend);
        let counters = Arc::new(Counters::default());
        let (index, newest_row) = rebuild(&rows, &counters)?;
        let finished = rows.compact_mark(FINISHED_COMPACT)?.unwrap_or(NEVER_COMPACTED);
        let scheduled = rows.compact_mark(SCHEDULED_COMPACT)?.unwrap_or(NEVER_COMPACTED);
        let compact = finished.max(scheduled);
        // A restored backup may have its revision raised by nothing but a scheduled compaction above all rows.
        let current = newest_row.max(compact).max(FIRST_REVISION);
        let store = Arc::new(Store::new(rows, index, current, compact, finished, limits, counters));
        let compaction =
            (scheduled > finished).then(|| Compaction::resumed(Arc::clone(&store), scheduled));
        let writer = Writer::new(Arc::clone(&store));
        Ok(Opened { store, writer, compaction })
    }
}

/// Builds the index and finds the newest main revision, 0 where there are no rows.
fn rebuild(rows: &Rows, counters: &Counters) -> Result<(Index, i64), MvccError> {
    let mut histories: HashMap<Box<[u8]>, KeyIndex> = HashMap::new();
    let mut newest = 0;
    let mut damaged = None;
    rows.scan(Revision::default(), i64::MAX - 1, |row_key, key, value| {
        let Ok(facts) = RowFacts::decode(value) else {
            damaged = Some(MvccError::damaged(Keyspace::Key, key));
            return ControlFlow::Break(());
        };
        newest = row_key.revision.main;
        add_row(&mut histories, row_key, facts);
        ControlFlow::Continue(())
    })?;
    if let Some(damaged) = damaged {
        return Err(damaged);
    }
    counters.keys.set(histories.values().filter(|history| history.is_alive()).count() as i64);
    // Building the tree from sorted keys is faster than inserting, and packs its nodes.
    Ok((Index::from_map(sorted(histories).collect()), newest))
}

/// Sorts by key. Keys lie all over memory, so what tells most of them apart is laid beside them first.
fn sorted(histories: HashMap<Box<[u8]>, KeyIndex>) -> impl Iterator<Item = (Box<[u8]>, KeyIndex)> {
    let mut keys = histories.keys();
    let first: &[u8] = keys.next().map_or(&[], |key| key);
    let common = keys.fold(first.len(), |common, key| {
        first.iter().zip(key.iter()).take(common).take_while(|(a, b)| a == b).count()
    });
    let mut entries: Vec<_> = histories
        .into_iter()
        .map(|(key, history)| (distinguishing(&key[common..]), key, history))
        .collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    entries.into_iter().map(|(_, key, history)| (key, history))
}

/// The next sixteen bytes as a number that sorts like them.
fn distinguishing(rest: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let len = rest.len().min(bytes.len());
    bytes[..len].copy_from_slice(&rest[..len]);
    u128::from_be_bytes(bytes)
}

fn add_row(histories: &mut HashMap<Box<[u8]>, KeyIndex>, row_key: RevisionKey, facts: RowFacts) {
    let RevisionKey { revision, is_tombstone } = row_key;
    match (histories.entry(facts.key.into_boxed_slice()), is_tombstone) {
        (Entry::Occupied(mut entry), false) => entry.get_mut().put(revision, facts.lease),
        (Entry::Occupied(mut entry), true) => {
            // A second tombstone in a row says nothing new; etcd passes over it as well.
            if entry.get().is_alive() {
                entry.get_mut().tombstone(revision);
            }
        }
        (Entry::Vacant(entry), false) => {
            entry.insert(KeyIndex::restored(
                revision,
                facts.create_revision,
                facts.version,
                facts.lease,
            ));
        }
        (Entry::Vacant(entry), true) => {
            entry.insert(KeyIndex::restored_tombstone(revision));
        }
    }
}
