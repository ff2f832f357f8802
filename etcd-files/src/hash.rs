//! etcd's two hashes over a database, and its two ways to count keys; all by streaming over rows.
//!
//! Source: `etcd:server/storage/mvcc/hash.go`, `etcd:etcdutl/snapshot/v3_snapshot.go`. Where the rows come from (a snapshot
//! file, a server's engine) is the caller's business.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;

use crate::rows::{Revision, RevisionKey, bucket, user_key};

/// Answer of HashKV. Two are comparable only where both revisions are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHash {
    /// CRC-32C.
    pub hash: u32,
    /// Compact revision at the time, -1 for a store never compacted.
    pub compact_revision: i64,
    /// Revision up to which rows were taken.
    pub hash_revision: i64,
}

/// The revisions at or below the compact revision that a compaction would keep for a reader at some revision.
#[derive(Clone, Debug, Default)]
pub struct KeepSet {
    compacted: HashSet<Revision>,
    is_empty: bool,
}

impl KeepSet {
    /// The set from the newest live revision of each key, as an index knows them: of every key the newest revision not
    /// above the hash revision, unless it is a tombstone.
    pub fn new(newest: impl IntoIterator<Item = Revision>, compact_revision: i64) -> KeepSet {
        let mut keep = KeepSet { compacted: HashSet::new(), is_empty: true };
        for revision in newest {
            keep.is_empty = false;
            if revision.main <= compact_revision {
                keep.compacted.insert(revision);
            }
        }
        keep
    }

    /// True when the row at `revision`, at or below the compact revision, counts.
    fn contains(&self, revision: Revision) -> bool {
        self.is_empty || self.compacted.contains(&revision)
    }
}

/// Finds the newest live revision of each key from rows in order. Keys are kept as 128-bit hashes.
#[derive(Debug)]
pub struct NewestRevisions {
    at: i64,
    keys: KeyHasher,
    newest: HashMap<u128, Revision>,
}

impl NewestRevisions {
    /// Looks at rows with a main revision of at most `at`.
    pub fn new(at: i64) -> NewestRevisions {
        NewestRevisions { at, keys: KeyHasher::default(), newest: HashMap::new() }
    }

    /// Takes the next row of bucket `key`; false where it is not one.
    #[must_use]
    pub fn push(&mut self, key: &[u8], value: &Bytes) -> bool {
        let (Some(row), Some(user_key)) = (RevisionKey::decode(key), user_key(value)) else {
            return false;
        };
        if row.revision.main <= self.at {
            let user_key = self.keys.hash(&user_key);
            if row.is_tombstone {
                self.newest.remove(&user_key);
            } else {
                self.newest.insert(user_key, row.revision);
            }
        }
        true
    }

    /// Number of keys that live at the revision: the total of `snapshot status` from 3.6 on.
    pub fn live_keys(&self) -> u64 {
        self.newest.len() as u64
    }

    /// The set for hashing at this revision.
    pub fn keep_set(self, compact_revision: i64) -> KeepSet {
        KeepSet::new(self.newest.into_values(), compact_revision)
    }
}

/// HashKV over rows of bucket `key` in order.
#[derive(Debug)]
pub struct KvHasher {
    crc: u32,
    revision: i64,
    compact_revision: i64,
    keep: KeepSet,
}

impl KvHasher {
    /// Hashes up to `revision`, which lies between the compact revision and the current one; `keep` was computed at
    /// `revision`.
    pub fn new(revision: i64, compact_revision: i64, keep: KeepSet) -> KvHasher {
        let crc = crc32c::crc32c(bucket::KEY.as_bytes());
        KvHasher { crc, revision, compact_revision, keep }
    }

    /// Takes the next row; false where its key is no revision.
    #[must_use]
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Some(row) = RevisionKey::decode(key) else { return false };
        let main = row.revision.main;
        let is_left_out = main > self.revision
            || (main <= self.compact_revision && !self.keep.contains(row.revision))
            // Releases up to 3.5.15 deleted this tombstone, later ones keep it: it must not make a difference.
            || (main == self.compact_revision && row.is_tombstone);
        if !is_left_out {
            self.crc = crc32c::crc32c_append(self.crc, key);
            self.crc = crc32c::crc32c_append(self.crc, value);
        }
        true
    }

    /// The hash of all rows taken.
    pub fn finish(self) -> KvHash {
        KvHash {
            hash: self.crc,
            compact_revision: self.compact_revision,
            hash_revision: self.revision,
        }
    }
}

/// Hash of `snapshot status`: everything in the file, bucket after bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusHasher(u32);

impl StatusHasher {
    /// Takes the name of the next bucket.
    pub fn begin_bucket(&mut self, name: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, name);
    }

    /// Takes the next row of the bucket.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, key);
        self.0 = crc32c::crc32c_append(self.0, value);
    }

    /// The hash of all taken.
    pub fn finish(self) -> u32 {
        self.0
    }
}

/// 128 bits of a key under two secret seeds: two keys of one store never meet.
#[derive(Debug, Default)]
struct KeyHasher(RandomState, RandomState);

impl KeyHasher {
    fn hash(&self, key: &[u8]) -> u128 {
        u128::from(self.0.hash_one(key)) << 64 | u128::from(self.1.hash_one(key))
    }
}
