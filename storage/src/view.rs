//! A view of the whole state at one applied mark, for snapshots and hashes.

use super::engine::{EngineView, RowVisitor};
use super::generation::GenerationFiles;
use super::{AppliedMark, Keyspace, StorageError};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;

/// All rows as they were at one applied mark, unmoved by later writes. Old rows are kept while it lives, so let it
/// go when done.
pub trait View: Send + Sync {
    /// The last entry whose rows are in the view; the default mark before the first.
    fn applied(&self) -> &AppliedMark;

    /// The value of a row.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Visits the rows of a keyspace from `from` (included) to `to` (excluded; `None` means the end), ascending.
    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), StorageError>;
}

pub(super) struct PinnedView {
    pub(super) applied: AppliedMark,
    pub(super) engine: Arc<dyn EngineView>,
    pub(super) path: PathBuf,
    pub(super) _files: Arc<GenerationFiles>,
}

impl View for PinnedView {
    fn applied(&self) -> &AppliedMark {
        &self.applied
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.engine
            .get(keyspace, key)
            .map_err(|error| StorageError::engine("read", &self.path, error))
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), StorageError> {
        self.engine
            .scan(keyspace, from, to, visit)
            .map_err(|error| StorageError::engine("read", &self.path, error))
    }
}
