//! The rows of the `key` keyspace and the compaction marks, as the room reads them from storage. No rules live here.

use super::{MvccError, Revision, RevisionKey};
use crate::storage::{Backend, Keyspace};
use bytes::Bytes;
use prost::Message;
use quorate_proto::mvccpb::KeyValue;
use std::ops::ControlFlow;
use std::sync::Arc;

/// `meta` row: the revision of the last compaction that was asked for.
pub(super) const SCHEDULED_COMPACT: &[u8] = b"scheduledCompactRev";
/// `meta` row: the revision of the last compaction whose rows are all gone.
pub(super) const FINISHED_COMPACT: &[u8] = b"finishedCompactRev";

/// The key that a row is stored under.
pub(super) fn row_key(key: RevisionKey) -> Bytes {
    if !key.is_tombstone {
        return Bytes::copy_from_slice(&key.revision.encode());
    }
    let mut bytes = Vec::with_capacity(Revision::BYTES + 1);
    key.encode_to(&mut bytes);
    bytes.into()
}

/// The value of a compaction mark.
pub(super) fn compact_mark(revision: i64) -> Bytes {
    Bytes::copy_from_slice(&Revision { main: revision, sub: 0 }.encode())
}

/// Typed access to the backend.
pub(super) struct Rows {
    backend: Arc<Backend>,
}

impl Rows {
    pub(super) fn new(backend: Arc<Backend>) -> Rows {
        Rows { backend }
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The pair stored under `revision`.
    pub(super) fn get(&self, revision: Revision) -> Result<KeyValue, MvccError> {
        let key = revision.encode();
        match self.backend.get(Keyspace::Key, &key)? {
            Some(row) => decode(&key, row),
            None => Err(MvccError::MissingRow(revision)),
        }
    }

    /// The pairs stored under `revisions`, in their order.
    pub(super) fn get_many(&self, revisions: &[Revision]) -> Result<Vec<KeyValue>, MvccError> {
        if let [only] = revisions {
            return Ok(vec![self.get(*only)?]);
        }
        // Storage finds ascending keys fastest, and these come in the order of the user's keys.
        let mut order: Vec<usize> = (0..revisions.len()).collect();
        order.sort_unstable_by_key(|position| revisions[*position]);
        let keys: Vec<_> = order.iter().map(|position| revisions[*position].encode()).collect();
        let rows = self.backend.get_many(Keyspace::Key, &keys)?;
        let mut pairs = vec![KeyValue::default(); revisions.len()];
        for ((position, key), row) in order.into_iter().zip(&keys).zip(rows) {
            let row = row.ok_or(MvccError::MissingRow(revisions[position]))?;
            pairs[position] = decode(key, row)?;
        }
        Ok(pairs)
    }

    /// Visits the rows from `from` up to all of main revision `to`, in order.
    pub(super) fn scan(
        &self,
        from: Revision,
        to: i64,
        mut visit: impl FnMut(RevisionKey, &[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), MvccError> {
        let from = from.encode();
        let to = Revision { main: to.saturating_add(1), sub: 0 }.encode();
        let mut damaged = None;
        self.backend.scan(Keyspace::Key, &from, Some(&to), &mut |key, value| {
            match RevisionKey::decode(key) {
                Some(row_key) => visit(row_key, key, value),
                None => {
                    damaged = Some(MvccError::damaged(Keyspace::Key, key));
                    ControlFlow::Break(())
                }
            }
        })?;
        damaged.map_or(Ok(()), Err)
    }

    /// The main revision in a compaction mark.
    pub(super) fn compact_mark(&self, key: &[u8]) -> Result<Option<i64>, MvccError> {
        let Some(value) = self.backend.get(Keyspace::Meta, key)? else { return Ok(None) };
        match Revision::decode(&value) {
            Some(revision) => Ok(Some(revision.main)),
            None => Err(MvccError::damaged(Keyspace::Meta, key)),
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

/// Reads a row's pair; key and value share the row's allocation.
pub(super) fn decode(key: &[u8], row: Bytes) -> Result<KeyValue, MvccError> {
    KeyValue::decode(row).map_err(|_| MvccError::damaged(Keyspace::Key, key))
}
