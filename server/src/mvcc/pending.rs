//! The changes that the writer has made and nobody else may see yet: their rows are in a batch, not in storage.

use super::{Change, Changes, Revision};
use quorate_proto::mvccpb::KeyValue;
use std::sync::Arc;

/// Unpublished transactions in revision order, without gaps; the last one may still be open.
#[derive(Debug, Default)]
pub(super) struct Pending {
    finished: Vec<Arc<Changes>>,
    open: Changes,
}

impl Pending {
    /// Whether storage holds everything that the writer has made.
    pub(super) fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.open.changes.is_empty()
    }

    /// The changes of the open transaction.
    pub(super) fn open(&self) -> &[Change] {
        &self.open.changes
    }

    /// Adds a change to the open transaction, which has or will have this revision.
    pub(super) fn push(&mut self, revision: i64, change: Change) {
        self.open.revision = revision;
        self.open.changes.push(change);
    }

    /// Ends the open transaction.
    pub(super) fn close(&mut self) -> Arc<Changes> {
        let changes = Arc::new(std::mem::take(&mut self.open));
        self.finished.push(Arc::clone(&changes));
        changes
    }

    /// Takes what is finished, for publishing.
    pub(super) fn take(&mut self) -> Vec<Arc<Changes>> {
        debug_assert!(
            self.open.changes.is_empty(),
            "a transaction is finished before it is published"
        );
        std::mem::take(&mut self.finished)
    }

    /// The pair that was put at `revision`, if the row is still pending.
    pub(super) fn get(&self, revision: Revision) -> Option<&KeyValue> {
        let changes = match self.finished.first() {
            Some(first) if revision.main >= first.revision => {
                let position = usize::try_from(revision.main - first.revision).ok()?;
                self.finished.get(position).map_or(&self.open, |changes| changes.as_ref())
            }
            _ => &self.open,
        };
        if changes.revision != revision.main {
            return None;
        }
        changes.changes.get(usize::try_from(revision.sub).ok()?).map(|change| &change.kv)
    }
}
