//! What can go wrong in the room: answers for a client, and failures that stop the member.

use super::Revision;
use crate::storage::StorageError;
use quorate_proto::errors::EtcdError;

/// Why a call of the room failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MvccError {
    /// The request cannot be served; the text is etcd's. Deterministic where the call is made by `apply`.
    #[error(transparent)]
    Refused(#[from] EtcdError),
    /// The state could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A row that the index knows is not in storage.
    #[error(
        "row {}_{} is missing from the state. Stop this member and let it rejoin with an empty data directory, or \
         restore a backup",
        .0.main, .0.sub
    )]
    MissingRow(Revision),
    /// A row is not what etcd or Quorate write.
    #[error(
        "row {key} of keyspace {keyspace} is damaged. Stop this member and let it rejoin with an empty data \
         directory, or restore a backup"
    )]
    DamagedRow {
        /// Keyspace of the row.
        keyspace: &'static str,
        /// The row's key, escaped.
        key: String,
    },
}

impl MvccError {
    /// The answer for the client, where the call was refused and nothing is wrong with the member.
    pub fn refusal(&self) -> Option<EtcdError> {
        match self {
            MvccError::Refused(error) => Some(*error),
            MvccError::Storage(_) | MvccError::MissingRow(_) | MvccError::DamagedRow { .. } => None,
        }
    }

    /// Whether the member must stop: its state can no longer be trusted or reached.
    pub fn is_fatal(&self) -> bool {
        self.refusal().is_none()
    }

    pub(super) fn damaged(keyspace: crate::storage::Keyspace, key: &[u8]) -> MvccError {
        MvccError::DamagedRow { keyspace: keyspace.name(), key: key.escape_ascii().to_string() }
    }
}
