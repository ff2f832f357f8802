//! The newest changes, kept in memory: the way from publishing to the watchers, and history for those who are only a
//! little behind.

use super::events::RevisionEvents;
use std::collections::VecDeque;
use std::sync::Arc;

/// Revisions kept.
const RECENT_REVISIONS_MAX: usize = 10_000;
/// Memory for them, in bytes, but for the newest revision, which is always kept.
const RECENT_BYTES_MAX: usize = 16 << 20;

/// Changes of consecutive revisions, up to the published one.
#[derive(Debug)]
pub(super) struct Recent {
    events: VecDeque<Arc<RevisionEvents>>,
    bytes: usize,
    /// The published revision.
    head: i64,
}

impl Recent {
    pub(super) fn new(head: i64) -> Recent {
        Recent { events: VecDeque::new(), bytes: 0, head }
    }

    /// The newest revision.
    pub(super) fn head(&self) -> i64 {
        self.head
    }

    /// Adds the changes of the next revision.
    pub(super) fn push(&mut self, events: RevisionEvents) {
        debug_assert_eq!(events.revision(), self.head + 1, "every revision has changes");
        self.head = events.revision();
        self.bytes += events.bytes();
        self.events.push_back(Arc::new(events));
        while self.events.len() > RECENT_REVISIONS_MAX
            || (self.bytes > RECENT_BYTES_MAX && self.events.len() > 1)
        {
            let oldest = self.events.pop_front();
            self.bytes -= oldest.map_or(0, |events| events.bytes());
        }
    }

    /// The changes from revision `from` on, at most `n_max` revisions; `None` where they are no longer here.
    pub(super) fn since(&self, from: i64, n_max: usize) -> Option<Vec<Arc<RevisionEvents>>> {
        let first = self.head + 1 - self.events.len() as i64;
        let skip = usize::try_from(from - first).ok()?;
        Some(self.events.iter().skip(skip).take(n_max).cloned().collect())
    }
}
