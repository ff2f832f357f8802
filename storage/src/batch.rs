//! The atomic unit of change. A batch with rows of an entry cannot be built without the entry's mark.

use super::Keyspace;
use bytes::Bytes;

/// How far the log is applied: what lands in the same batch as the rows of the entry it names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AppliedMark {
    /// Term of the last applied entry.
    pub term: u64,
    /// Log index of the last applied entry (etcd's consistent index).
    pub index: u64,
    /// Member that led when the entry was proposed.
    pub leader_member_id: u64,
}

/// One row to write or to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Writes a row, over an old one if there is one.
    Put(Keyspace, Bytes, Bytes),
    /// Removes a row; nothing happens where there is none.
    Delete(Keyspace, Bytes),
}

/// Rows that become visible and durable together.
#[derive(Clone, Debug)]
pub struct Batch {
    applied: Option<AppliedMark>,
    rows: Vec<Row>,
}

impl Batch {
    /// Starts a batch that holds the rows of all entries up to and including `applied`.
    pub fn applied(applied: AppliedMark) -> Batch {
        Batch { applied: Some(applied), rows: Vec::new() }
    }

    /// Starts a batch of work that no entry asked for by itself, such as the physical part of a compaction. It leaves
    /// the applied mark as it is, so it must only hold rows whose loss or repetition changes nothing a client can see.
    pub fn housekeeping() -> Batch {
        Batch { applied: None, rows: Vec::new() }
    }

    /// Adds a row to write.
    pub fn put(&mut self, keyspace: Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.rows.push(Row::Put(keyspace, key.into(), value.into()));
    }

    /// Adds a row to remove.
    pub fn delete(&mut self, keyspace: Keyspace, key: impl Into<Bytes>) {
        self.rows.push(Row::Delete(keyspace, key.into()));
    }

    /// Moves the mark forward: the batch now holds one more whole entry.
    pub fn advance(&mut self, applied: AppliedMark) {
        debug_assert!(self.applied.as_ref().is_none_or(|old| old.index < applied.index));
        self.applied = Some(applied);
    }

    /// The mark, absent for housekeeping.
    pub fn mark(&self) -> Option<&AppliedMark> {
        self.applied.as_ref()
    }

    /// The rows in the order they were added; a later one overrides an earlier one.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows, by value.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}
