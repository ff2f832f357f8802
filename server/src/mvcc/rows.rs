//! The rows of the `key` keyspace and the compaction marks, as the room reads them from storage. No rules live here.

use super::{MvccError, Revision, RevisionKey};
use crate::storage::{Backend, Keyspace};
use bytes::Bytes;
use prost::Message;
use prost::encoding::int64::encoded_len;
use prost::length_delimiter_len;
use quorate_proto::mvccpb::KeyValue;
use std::ops::ControlFlow;
use std::sync::Arc;

/// `meta` row: the revision of the last compaction that was asked for.
pub(super) const SCHEDULED_COMPACT: &[u8] = b"scheduledCompactRev";
/// `meta` row: the revision of the last compaction whose rows are all gone.
pub(super) const FINISHED_COMPACT: &[u8] = b"finishedCompactRev";

/// Field number of `KeyValue.lease`, the last field of a row; the key is its first and the value the one before.
const LEASE_TAG: u32 = 6;

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

/// A pair's row, and the pair with its key and value moved into the row: so it no longer holds on to the buffer that
/// the request came in, and nothing is decoded for it.
pub(super) fn encode_pair(pair: KeyValue) -> (Bytes, KeyValue) {
    let row = Bytes::from(pair.encode_to_vec());
    let key_at = 1 + length_delimiter_len(pair.key.len());
    let lease_len = if pair.lease == 0 { 0 } else { encoded_len(LEASE_TAG, &pair.lease) };
    let value_end = row.len() - lease_len;
    let key = row.slice(key_at..key_at + pair.key.len());
    let value = row.slice(value_end - pair.value.len()..value_end);
    (row, KeyValue { key, value, ..pair })
}

/// Reads a row's pair; key and value share the row's allocation.
pub(super) fn decode(key: &[u8], row: Bytes) -> Result<KeyValue, MvccError> {
    KeyValue::decode(row).map_err(|_| MvccError::damaged(Keyspace::Key, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is sliced out of a row is what decoding the row gives.
        #[test]
        fn slices_equal_decoding(
            key in prop::collection::vec(any::<u8>(), 1..300),
            value in prop::collection::vec(any::<u8>(), 0..300),
            numbers in any::<[u32; 3]>(),
            lease in prop_oneof![Just(0), any::<i64>()],
        ) {
            let [created, modified, version] = numbers.map(i64::from);
            let pair = KeyValue {
                key: key.into(),
                create_revision: created,
                mod_revision: modified,
                version,
                value: value.into(),
                lease,
            };
            let (row, sliced) = encode_pair(pair.clone());
            prop_assert_eq!(&sliced, &pair);
            prop_assert_eq!(KeyValue::decode(row).unwrap(), pair);
        }
    }
}
