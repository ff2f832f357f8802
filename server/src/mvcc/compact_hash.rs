//! The hashes that compactions leave behind, so that members can be compared at revisions that are half forgotten.
//!
//! Facts: `etcd:server/storage/mvcc/hash.go` (`hashStorage`).

use parking_lot::Mutex;
use quorate_etcd_files::hash::KvHash;
use std::collections::VecDeque;

/// How many hashes are remembered, etcd's number.
const REMEMBERED_MAX: usize = 10;

/// The last hashes in ascending order of revision, and the one that is being computed.
#[derive(Debug, Default)]
pub(super) struct CompactHashes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hashes: VecDeque<KvHash>,
    /// Revision and previous compact revision of compactions that have not stored their hash yet.
    awaited: Vec<(i64, i64)>,
}

impl CompactHashes {
    /// The hash of the compaction at exactly this revision.
    pub(super) fn find(&self, revision: i64) -> Option<KvHash> {
        self.state.lock().hashes.iter().find(|hash| hash.hash_revision == revision).copied()
    }

    /// All that are remembered, oldest first: what a leader compares with its peers after a compaction.
    pub(super) fn all(&self) -> Vec<KvHash> {
        self.state.lock().hashes.iter().copied().collect()
    }

    /// Announces that the compaction at `revision` will store its hash.
    pub(super) fn expect(&self, revision: i64, previous: i64) {
        self.state.lock().awaited.push((revision, previous));
    }

    /// The previous compact revision of an announced compaction at exactly this revision.
    pub(super) fn awaited(&self, revision: i64) -> Option<i64> {
        let state = self.state.lock();
        state.awaited.iter().find(|awaited| awaited.0 == revision).map(|awaited| awaited.1)
    }

    /// Remembers a hash and forgets the oldest if there are too many.
    pub(super) fn store(&self, hash: KvHash) {
        let mut state = self.state.lock();
        state.awaited.retain(|awaited| awaited.0 != hash.hash_revision);
        let position = state.hashes.partition_point(|old| old.hash_revision < hash.hash_revision);
        state.hashes.insert(position, hash);
        if state.hashes.len() > REMEMBERED_MAX {
            state.hashes.pop_front();
        }
    }
}
