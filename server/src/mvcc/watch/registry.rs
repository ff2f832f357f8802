//! The watchers that are up to date, by what they watch. Ten thousands of them on other keys cost a change nothing.

use super::range_set::RangeSet;
use super::watcher::WatcherKey;
use crate::mvcc::KeyRange;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};

/// Watchers of single keys in a hash map, watchers of intervals in a [`RangeSet`].
#[derive(Debug, Default)]
pub(super) struct Registry {
    keys: HashMap<Bytes, BTreeSet<WatcherKey>>,
    ranges: RangeSet,
    n_watchers: usize,
}

impl Registry {
    pub(super) fn add(&mut self, range: &KeyRange, watcher: WatcherKey) {
        self.n_watchers += 1;
        match range.as_single() {
            Some(key) => {
                self.keys.entry(key.clone()).or_default().insert(watcher);
            }
            None => self.ranges.add(range, watcher),
        }
    }

    pub(super) fn remove(&mut self, range: &KeyRange, watcher: WatcherKey) {
        self.n_watchers -= 1;
        let Some(key) = range.as_single() else { return self.ranges.remove(range, watcher) };
        if let Some(watchers) = self.keys.get_mut(key) {
            watchers.remove(&watcher);
            if watchers.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_watchers == 0
    }

    /// Calls `found` with each watcher of `key`.
    pub(super) fn find(&self, key: &[u8], mut found: impl FnMut(WatcherKey)) {
        if let Some(watchers) = self.keys.get(key) {
            watchers.iter().copied().for_each(&mut found);
        }
        self.ranges.find(key, found);
    }
}
