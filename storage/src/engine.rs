//! What the state asks of a storage engine, and nothing an engine would have to be clever for.
//!
//! An engine is one ordered map per [`Keyspace`] with atomic, durable commits. It knows nothing of marks, buffers or
//! revisions. There is one writer at a time; the [`super::Backend`] sees to that. Defragmenting and replacing a state
//! are not asked of an engine: the backend copies rows into a fresh database, which works alike for all of them.

use super::{EngineError, Keyspace};
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;

/// One row as a commit takes it: a value to write, or `None` to remove the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The map the row is in.
    pub keyspace: Keyspace,
    /// The row's key.
    pub key: Bytes,
    /// The new value; `None` removes the row.
    pub value: Option<Bytes>,
}

/// When a commit may be forgotten by a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Never, once it has returned.
    Synced,
    /// Until the next synced commit. For filling a database that nobody depends on yet.
    Deferred,
}

/// Sizes of a database, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineSizes {
    /// What the files take on disk.
    pub total: u64,
    /// Keys and values of live rows.
    pub in_use: u64,
}

/// Receives rows in ascending order of key until it breaks.
pub type RowVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// The rows as they were after one commit.
pub trait EngineView: Send + Sync {
    /// The value of a row.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The values of many rows, handed over with the position of their key. Keys in ascending order are found fastest.
    fn get_many(
        &self,
        keyspace: Keyspace,
        keys: &[&[u8]],
        found: &mut dyn FnMut(usize, Bytes),
    ) -> Result<(), EngineError> {
        for (position, key) in keys.iter().enumerate() {
            if let Some(value) = self.get(keyspace, key)? {
                found(position, value);
            }
        }
        Ok(())
    }

    /// Visits the rows from `from` (included) to `to` (excluded; `None` means the end).
    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), EngineError>;
}

/// An open database.
pub trait Engine: Send + Sync {
    /// Writes all changes or none. Changes are sorted by keyspace and key, at most one for each row.
    ///
    /// An error leaves the outcome unknown: the caller must not use the engine any more.
    fn commit(&self, changes: &[Change], durability: Durability) -> Result<(), EngineError>;

    /// The rows after the last commit, for short reads. On an engine without snapshots a later commit shows through
    /// `get`, and `scan` answers [`EngineError::Moved`] instead of mixing two commits.
    fn latest(&self) -> Result<Arc<dyn EngineView>, EngineError>;

    /// The rows after the last commit, unmoved by later commits for as long as the view lives. Never call it while a
    /// commit runs.
    fn pin(&self) -> Result<Arc<dyn EngineView>, EngineError>;

    /// Sizes after the last commit. Cheap.
    fn sizes(&self) -> EngineSizes;
}
