//! Hashes over the state: HashKV, equal on all members and on real etcd, and the hash over all keyspaces.
//!
//! Facts: `reference/file-formats.md`, section 4; `etcd:server/storage/mvcc/hash.go`.

use super::key_index::KeyIndex;
use super::rows::Rows;
use super::{KeyRange, MvccError, NEVER_COMPACTED, Revision, RowKey, Store};
use crate::storage::{Keyspace, PRIVATE_META_PREFIX};
use std::ops::ControlFlow;

/// Rows of `meta` that differ between members without anything being wrong, so etcd leaves them out of `Hash`.
const UNHASHED_META: [&[u8]; 3] = [b"consistent_index", b"term", b"storageVersion"];

/// Rows that are hashed in one go; some milliseconds.
const ROWS_PER_STRETCH: usize = 10_000;

/// A hash of the history up to a revision. Two are comparable only if both revisions are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHash {
    /// CRC-32C of the rows.
    pub hash: u32,
    /// The compact revision that decided which rows count.
    pub compact_revision: i64,
    /// The revision up to which rows count.
    pub revision: i64,
}

/// Decides row by row, in revision order, what is hashed.
#[derive(Debug)]
pub(super) struct KvHasher {
    hash: u32,
    compact_revision: i64,
    revision: i64,
    /// Sorted; rows at or below the compact revision count only if they are listed.
    keep: Vec<Revision>,
    /// Keep entries passed so far.
    passed: usize,
    /// Whether `keep` is to be asked at all.
    is_selective: bool,
}

impl KvHasher {
    /// Starts a hash. An empty `keep` means that every row counts, as in etcd.
    pub(super) fn new(compact_revision: i64, revision: i64, keep: Vec<Revision>) -> KvHasher {
        debug_assert!(keep.is_sorted());
        let hash = crc32c::crc32c(Keyspace::Key.name().as_bytes());
        let is_selective = !keep.is_empty();
        KvHasher { hash, compact_revision, revision, keep, passed: 0, is_selective }
    }

    /// Takes the next row.
    pub(super) fn add(&mut self, row_key: RowKey, key: &[u8], value: &[u8]) {
        let RowKey { revision, is_tombstone } = row_key;
        if revision.main > self.revision {
            return;
        }
        if self.is_selective && revision.main <= self.compact_revision && !self.is_kept(revision) {
            return;
        }
        // etcd up to 3.5.15 removed this tombstone, so nobody counts it.
        if is_tombstone && revision.main == self.compact_revision {
            return;
        }
        self.hash = crc32c::crc32c_append(crc32c::crc32c_append(self.hash, key), value);
    }

    fn is_kept(&mut self, revision: Revision) -> bool {
        while self.keep.get(self.passed).is_some_and(|kept| *kept < revision) {
            self.passed += 1;
        }
        self.keep.get(self.passed) == Some(&revision)
    }

    /// Takes the rows from `from` on, as many as one stretch of storage should be read for. Returns where to go on,
    /// `None` at the end.
    pub(super) fn add_some(
        &mut self,
        rows: &Rows,
        from: Revision,
    ) -> Result<Option<Revision>, MvccError> {
        let mut n_rows = 0;
        let mut next = None;
        rows.scan(from, self.revision, |row_key, key, value| {
            if n_rows == ROWS_PER_STRETCH {
                next = Some(row_key.revision);
                return ControlFlow::Break(());
            }
            n_rows += 1;
            self.add(row_key, key, value);
            ControlFlow::Continue(())
        })?;
        Ok(next)
    }

    /// The result.
    pub(super) fn finish(self) -> KvHash {
        let KvHasher { hash, compact_revision, revision, .. } = self;
        KvHash { hash, compact_revision, revision }
    }
}

impl Store {
    /// The hash of the history up to `revision`, 0 for the published one (`Maintenance.HashKV`).
    ///
    /// It does not depend on how far the physical part of a compaction has come on this member: asked at the same
    /// moment, all members with the same history and compact revision answer alike.
    ///
    /// # Errors
    /// Refuses a compacted or future revision; fails where storage does.
    pub fn hash_kv(&self, revision: i64) -> Result<KvHash, MvccError> {
        loop {
            if let Some(hash) = self.hash_of_compaction(revision)? {
                return Ok(hash);
            }
            let compact = self.compact_revision();
            let current = self.revision();
            let at = if revision <= 0 { current } else { revision };
            Store::check_revision(at, current, compact)?;
            let mut keep = self.kept_revisions(|history| history.keep(at));
            if keep.is_empty() && compact != NEVER_COMPACTED {
                // etcd counts whatever rows are there. Once its compaction is done, those are these.
                keep = self.kept_revisions(|history| history.available(compact));
            }
            let hash = self.hash_rows(KvHasher::new(compact, at, keep))?;
            if self.compact_revision() == compact {
                return Ok(hash);
            }
        }
    }

    /// The hashes that the last compactions left, oldest first: what the leader compares with its peers.
    pub fn compact_hashes(&self) -> Vec<KvHash> {
        self.compact_hashes.all()
    }

    /// The hash that a compaction at exactly `revision` computes, if it is one of those that are remembered. While
    /// the compaction is still at it, the hash is computed here, so that members answer alike at once.
    fn hash_of_compaction(&self, revision: i64) -> Result<Option<KvHash>, MvccError> {
        if let Some(hash) = self.compact_hashes.find(revision) {
            return Ok(Some(hash));
        }
        let Some(previous) = self.compact_hashes.awaited(revision) else { return Ok(None) };
        let keep = self.kept_revisions(|history| history.available(revision));
        let hash = self.hash_rows(KvHasher::new(previous, revision, keep))?;
        // The compaction removes rows only after it has stored its own hash.
        Ok(Some(self.compact_hashes.find(revision).unwrap_or(hash)))
    }

    fn hash_rows(&self, mut hasher: KvHasher) -> Result<KvHash, MvccError> {
        let mut from = Some(Revision::default());
        while let Some(next) = from {
            from = hasher.add_some(&self.rows, next)?;
        }
        Ok(hasher.finish())
    }

    /// Asks every key which revision it keeps; sorted.
    pub(super) fn kept_revisions(
        &self,
        keeps: impl Fn(&KeyIndex) -> Option<Revision>,
    ) -> Vec<Revision> {
        let mut kept = Vec::new();
        self.index.walk(&KeyRange::all(), |_, history| kept.extend(keeps(history)));
        kept.sort_unstable();
        kept
    }

    /// The hash over all keyspaces (`Maintenance.Hash`). It says something only about members that have the same rows,
    /// those that wait for a compaction included.
    ///
    /// # Errors
    /// Storage fails.
    pub fn hash(&self) -> Result<u32, MvccError> {
        let mut hash = 0;
        for keyspace in Keyspace::ALL {
            hash = crc32c::crc32c_append(hash, keyspace.name().as_bytes());
            self.rows.backend().scan(keyspace, &[], None, &mut |key, value| {
                if !is_unhashed(keyspace, key) {
                    hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(hash)
    }
}

fn is_unhashed(keyspace: Keyspace, key: &[u8]) -> bool {
    keyspace == Keyspace::Meta
        && (UNHASHED_META.contains(&key) || key.starts_with(PRIVATE_META_PREFIX))
}
