//! The physical part of a compaction, in steps that a background task can spread over time. The logical part, which
//! decides what clients see, is [`super::Writer::compact`].
//!
//! It hashes the history first and only then forgets, so that the hash of a revision is the same number on every
//! member at any moment (see [`super::Store::hash_kv`]). A crash loses nothing: rows that are still there at the next
//! start are found again, because the `finishedCompactRev` mark comes last.

use super::hash::hash_some;
use super::index::CompactCursor;
use super::rows::{FINISHED_COMPACT, compact_mark, row_key};
use super::{MvccError, Revision, RevisionKey, Store};
use crate::storage::{Batch, Keyspace};
use quorate_etcd_files::hash::{KeepSet, KvHasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Rows listed for removal before the first of them is removed: 24 MiB. Sorting so many makes the removals run through
/// storage in order.
const LISTED_ROWS_MAX: usize = 1 << 20;

/// How far a compaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do; a pause now lets others have the disk.
    Working,
    /// All rows are gone and the mark that says so is written, which is durable after the next flush; or the store was
    /// retired.
    Done,
}

/// The physical part of one compaction. Compactions are run one after the other, in the order of their revisions.
#[derive(Debug)]
pub struct Compaction {
    store: Arc<Store>,
    revision: i64,
    /// The compact revision before this one.
    previous: i64,
    /// Whether the hash is remembered. As in etcd, only if the compaction before was finished when this one was
    /// asked for: else the hash would not cover the whole history.
    leaves_hash: bool,
    phase: Phase,
    n_removed: u64,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is done yet.
    Scheduled,
    /// The history is being hashed; the next row is at or after `from`.
    Hashing { hasher: KvHasher, from: Revision },
    /// Rows are being listed and removed.
    Removing { cursor: CompactCursor, listed: Vec<RevisionKey>, is_listed: bool },
    /// Nothing is left to do.
    Done,
}

impl Compaction {
    /// The compaction that follows one at `previous`.
    pub(super) fn scheduled(store: Arc<Store>, revision: i64, previous: i64) -> Compaction {
        let leaves_hash = store.finished_compact_revision() == previous;
        let phase = Phase::Scheduled;
        Compaction { store, revision, previous, leaves_hash, phase, n_removed: 0 }
    }

    /// A compaction that an earlier run of the program did not finish.
    pub(super) fn resumed(store: Arc<Store>, revision: i64) -> Compaction {
        let (previous, leaves_hash) = (store.finished_compact_revision(), false);
        let phase = Phase::Scheduled;
        Compaction { store, revision, previous, leaves_hash, phase, n_removed: 0 }
    }

    /// The revision that is compacted.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Rows removed so far.
    pub fn n_removed(&self) -> u64 {
        self.n_removed
    }

    /// Whether the next step walks through the index, a chunk at a time, instead of removing rows.
    pub fn is_walk_next(&self) -> bool {
        matches!(&self.phase, Phase::Removing { listed, is_listed: false, .. } if listed.is_empty())
    }

    /// Tells the store that a hash will come, where one will. Called when the compaction is published.
    pub(super) fn announce(&self) {
        if self.leaves_hash {
            self.store.compact_hashes.expect(self.revision, self.previous);
        }
    }

    /// Does a bounded piece of work: removes at most `batch_limit` rows.
    ///
    /// # Errors
    /// Storage fails. The compaction can be dropped; the next start takes it up again.
    pub fn step(&mut self, batch_limit: NonZeroUsize) -> Result<Progress, MvccError> {
        if self.store.is_retired() {
            return Ok(Progress::Done);
        }
        match &mut self.phase {
            Phase::Scheduled => {
                self.phase = self.first_phase();
                Ok(Progress::Working)
            }
            Phase::Hashing { hasher, from } => {
                match hash_some(&self.store.rows, hasher, self.revision, *from)? {
                    Some(next) => *from = next,
                    None => self.store_hash(),
                }
                Ok(Progress::Working)
            }
            Phase::Removing { .. } => self.remove_some(batch_limit.get()),
            Phase::Done => Ok(Progress::Done),
        }
    }

    /// Runs all steps without a pause.
    ///
    /// # Errors
    /// See [`Compaction::step`].
    pub fn run(&mut self, batch_limit: NonZeroUsize) -> Result<(), MvccError> {
        while self.step(batch_limit)? == Progress::Working {}
        Ok(())
    }

    fn first_phase(&self) -> Phase {
        if !self.leaves_hash {
            return Phase::removing();
        }
        let keep = self.store.kept_revisions(|history| history.available(self.revision));
        let keep = KeepSet::new(keep, self.previous);
        let hasher = KvHasher::new(self.revision, self.previous, keep);
        Phase::Hashing { hasher, from: Revision::default() }
    }

    fn store_hash(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::removing());
        if let Phase::Hashing { hasher, .. } = phase {
            self.store.compact_hashes.store(hasher.finish());
        }
    }

    fn remove_some(&mut self, batch_limit: usize) -> Result<Progress, MvccError> {
        let Phase::Removing { cursor, listed, is_listed } = &mut self.phase else {
            return Ok(Progress::Done);
        };
        if listed.is_empty() && !*is_listed {
            while listed.len() < LISTED_ROWS_MAX && !*is_listed {
                let index = &self.store.index;
                *is_listed = !index.compact_chunk(self.revision, cursor, LISTED_ROWS_MAX, listed);
            }
            // Descending, so that the lowest rows are taken off the end.
            listed.sort_unstable_by(|a, b| b.cmp(a));
            return Ok(Progress::Working);
        }
        let mut batch = Batch::housekeeping();
        let n = batch_limit.min(listed.len());
        for row in listed.drain(listed.len() - n..).rev() {
            batch.delete(Keyspace::Key, row_key(row));
        }
        self.n_removed += n as u64;
        self.store.counters.compacted_rows.add(n as u64);
        let is_done = listed.is_empty() && *is_listed;
        if is_done {
            batch.put(Keyspace::Meta, FINISHED_COMPACT, compact_mark(self.revision));
        }
        self.store.rows.backend().write(batch)?;
        if !is_done {
            return Ok(Progress::Working);
        }
        self.store.finish_compact(self.revision);
        self.phase = Phase::Done;
        Ok(Progress::Done)
    }
}

impl Phase {
    fn removing() -> Phase {
        Phase::Removing { cursor: CompactCursor::default(), listed: Vec::new(), is_listed: false }
    }
}
