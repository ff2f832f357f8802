//! The applied mark as rows: etcd's `consistent_index` and `term`, and Quorate's leader of the entry.

use super::engine::{Change, EngineView};
use super::{AppliedMark, EngineError, Keyspace};
use bytes::Bytes;

/// Private rows of keyspace `meta` begin with this; they have no place in a snapshot for etcd.
pub const PRIVATE_META_PREFIX: &[u8] = b"quorate_";

const INDEX_KEY: &[u8] = b"consistent_index";
const TERM_KEY: &[u8] = b"term";
const LEADER_KEY: &[u8] = b"quorate_leader_member_id";

/// True for the rows of keyspace `meta` that only the backend writes.
pub(super) fn is_mark_key(key: &[u8]) -> bool {
    [INDEX_KEY, TERM_KEY, LEADER_KEY].contains(&key)
}

/// The rows of a mark, sorted.
pub(super) fn changes(mark: &AppliedMark) -> [Change; 3] {
    let row = |key: &'static [u8], number: u64| Change {
        keyspace: Keyspace::Meta,
        key: Bytes::from_static(key),
        value: Some(Bytes::copy_from_slice(&number.to_be_bytes())),
    };
    [row(INDEX_KEY, mark.index), row(LEADER_KEY, mark.leader_member_id), row(TERM_KEY, mark.term)]
}

/// The mark a view holds; `None` before the first applied entry.
pub(super) fn read(view: &dyn EngineView) -> Result<Option<AppliedMark>, EngineError> {
    let number = |key: &[u8]| -> Result<Option<u64>, EngineError> {
        let Some(value) = view.get(Keyspace::Meta, key)? else { return Ok(None) };
        let bytes = <[u8; 8]>::try_from(value.as_ref()).map_err(|_| {
            let key = String::from_utf8_lossy(key);
            EngineError::Corrupt(format!("meta row {key} has {} bytes, not 8", value.len()))
        })?;
        Ok(Some(u64::from_be_bytes(bytes)))
    };
    let Some(index) = number(INDEX_KEY)? else { return Ok(None) };
    let term = number(TERM_KEY)?.unwrap_or_default();
    let leader_member_id = number(LEADER_KEY)?.unwrap_or_default();
    Ok(Some(AppliedMark { term, index, leader_member_id }))
}

/// Puts the rows of a mark, and what else the backend notes, in their places among sorted changes.
pub(super) fn insert(changes: &mut Vec<Change>, mark: &AppliedMark, noted: Option<Change>) {
    changes.retain(|change| change.keyspace != Keyspace::Meta || !is_mark_key(&change.key));
    changes.extend(self::changes(mark));
    changes.extend(noted);
    let start = changes.partition_point(|change| change.keyspace < Keyspace::Meta);
    changes[start..].sort_by(|a, b| a.key.cmp(&b.key));
}
