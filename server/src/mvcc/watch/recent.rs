//! The newest changes, kept in memory: the way from publishing to the watchers, and history for those who are only a
//! little behind.

use super::WatchLimits;
use super::events::RevisionEvents;
use std::collections::VecDeque;
use std::sync::Arc;

/// Changes of consecutive revisions, up to the published one.
#[derive(Debug)]
pub(super) struct Recent {
    events: VecDeque<Arc<RevisionEvents>>,
    bytes: usize,
    limits: WatchLimits,
    /// The published revision.
    head: i64,
}

impl Recent {
    pub(super) fn new(head: i64, limits: WatchLimits) -> Recent {
        Recent { events: VecDeque::new(), bytes: 0, limits, head }
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
        while self.events.len() > self.limits.recent_revisions_max
            || (self.bytes > self.limits.recent_bytes_max && self.events.len() > 1)
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
