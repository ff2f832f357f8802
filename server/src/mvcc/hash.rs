//! Hashes over the state: HashKV, equal on all members and on real etcd, and the hash over all keyspaces.
//!
//! Facts: `reference/file-formats.md`, section 4; `etcd:server/storage/mvcc/hash.go`.

use super::key_index::KeyIndex;
use super::rows::Rows;
use super::{KeyRange, MvccError, NEVER_COMPACTED, Revision, Store};
use crate::storage::{Keyspace, PRIVATE_META_PREFIX};
use quorate_etcd_files::hash::{KeepSet, KvHash, KvHasher};
use std::ops::ControlFlow;

/// Rows of `meta` that differ between members without anything being wrong, so etcd leaves them out of `Hash`.
const UNHASHED_META: [&[u8]; 3] = [b"consistent_index", b"term", b"storageVersion"];

/// Rows that are hashed in one go; some milliseconds.
const ROWS_PER_STRETCH: usize = 10_000;

/// Feeds `hasher`, which looks up to `revision`, the rows from `from` on, as many as one stretch of storage should be
/// read for. Returns where to go on, `None` at the end.
pub(super) fn hash_some(
    rows: &Rows,
    hasher: &mut KvHasher,
    revision: i64,
    from: Revision,
) -> Result<Option<Revision>, MvccError> {
    let mut n_rows = 0;
    let mut next = None;
    rows.scan(from, revision, |row_key, key, value| {
        if n_rows == ROWS_PER_STRETCH {
            next = Some(row_key.revision);
            return ControlFlow::Break(());
        }
        n_rows += 1;
        let is_row = hasher.push(key, value);
        debug_assert!(is_row, "the key was decoded before");
        ControlFlow::Continue(())
    })?;
    Ok(next)
}

impl Store {
    /// The hash of the history up to `revision`, 0 for the published one (`Maintenance.HashKV`). Before all revisions
    /// there is an empty history, with etcd too.
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
            let at = if revision == 0 { current } else { revision };
            if at >= 0 {
                Store::check_revision(at, current, compact)?;
            }
            let mut keep = self.kept_revisions(|history| history.keep(at));
            if keep.is_empty() && compact != NEVER_COMPACTED {
                // etcd counts whatever rows are there. Once its compaction is done, those are these.
                keep = self.kept_revisions(|history| history.available(compact));
            }
            let hash = self.hash_rows(at, compact, keep)?;
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
        if revision <= 0 {
            // A store can be compacted at revision 0. etcd then answers everyone who asks for the newest revision with
            // that one hash; that is a mistake.
            return Ok(None);
        }
        if let Some(hash) = self.compact_hashes.find(revision) {
            return Ok(Some(hash));
        }
        let Some(previous) = self.compact_hashes.awaited(revision) else { return Ok(None) };
        let keep = self.kept_revisions(|history| history.available(revision));
        let hash = self.hash_rows(revision, previous, keep)?;
        // The compaction removes rows only after it has stored its own hash.
        Ok(Some(self.compact_hashes.find(revision).unwrap_or(hash)))
    }

    fn hash_rows(
        &self,
        revision: i64,
        compact_revision: i64,
        keep: Vec<Revision>,
    ) -> Result<KvHash, MvccError> {
        let keep = KeepSet::new(keep, compact_revision);
        let mut hasher = KvHasher::new(revision, compact_revision, keep);
        let mut from = (revision >= 0).then(Revision::default);
        while let Some(next) = from {
            from = hash_some(&self.rows, &mut hasher, revision, next)?;
        }
        Ok(hasher.finish())
    }

    /// Asks every key which revision it keeps.
    pub(super) fn kept_revisions(
        &self,
        keeps: impl Fn(&KeyIndex) -> Option<Revision>,
    ) -> Vec<Revision> {
        let mut kept = Vec::new();
        self.index.walk(&KeyRange::all(), |_, history| kept.extend(keeps(history)));
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
