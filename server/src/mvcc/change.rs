//! What one write transaction changed: handed to the lease room by `apply` and to the watch hub by publishing.

use quorate_proto::mvccpb::KeyValue;

/// Whether a key was written or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The key was put.
    Put,
    /// The key was deleted.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The pair after a put; only `key` and `mod_revision` are filled for a delete. Key and value share the
    /// allocation of the stored row, so clones are cheap.
    pub kv: KeyValue,
    /// The lease that the key was attached to before, 0 for none. The new one is `kv.lease`.
    pub previous_lease: i64,
}

/// The changes of one transaction in the order of their sub-revisions, from 0 without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The revision that the transaction took; the store's revision where it changed nothing.
    pub revision: i64,
    /// The changes; empty where no revision was taken.
    pub changes: Vec<Change>,
}
