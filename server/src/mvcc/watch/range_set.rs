//! The ranges that are watched, so that those which hold a key are found without asking all. Equal ranges are one.
//!
//! Ranges are sorted by start in an array that is read as a balanced tree; each node knows the farthest end below it.
//! New ranges wait in a short list that is searched from end to end, until it is worth sorting them in.

use super::watcher::WatcherKey;
use crate::mvcc::KeyRange;
use std::collections::{BTreeSet, HashMap};

/// Ranges that may wait unsorted, and ranges without watchers that may stay, beside a share of all.
const UNSORTED_MAX: usize = 32;

/// Watchers by range.
#[derive(Debug, Default)]
pub(super) struct RangeSet {
    watchers: HashMap<KeyRange, BTreeSet<WatcherKey>>,
    sorted: Vec<Node>,
    unsorted: Vec<KeyRange>,
    /// Ranges in `sorted` that nobody watches any more.
    n_dead: usize,
}

#[derive(Debug)]
struct Node {
    range: KeyRange,
    /// Position of the range with the farthest end in the subtree under this node.
    farthest: usize,
}

impl RangeSet {
    pub(super) fn add(&mut self, range: &KeyRange, watcher: WatcherKey) {
        if let Some(watchers) = self.watchers.get_mut(range) {
            // A dead range stays in place and lives again.
            if watchers.is_empty() {
                self.n_dead -= 1;
            }
            watchers.insert(watcher);
            return;
        }
        self.watchers.insert(range.clone(), BTreeSet::from([watcher]));
        self.unsorted.push(range.clone());
        self.tidy();
    }

    pub(super) fn remove(&mut self, range: &KeyRange, watcher: WatcherKey) {
        let Some(watchers) = self.watchers.get_mut(range) else { return };
        if watchers.remove(&watcher) && watchers.is_empty() {
            self.n_dead += 1;
            self.tidy();
        }
    }

    /// Calls `found` with the watchers of all ranges that hold `key`.
    pub(super) fn find(&self, key: &[u8], mut found: impl FnMut(WatcherKey)) {
        let mut visit = |range: &KeyRange| {
            if let Some(watchers) = self.watchers.get(range) {
                watchers.iter().copied().for_each(&mut found);
            }
        };
        self.unsorted.iter().filter(|range| range.contains(key)).for_each(&mut visit);
        self.search(0, self.sorted.len(), key, &mut visit);
    }

    /// Searches the subtree of positions `from` to `to`.
    fn search(&self, from: usize, to: usize, key: &[u8], visit: &mut impl FnMut(&KeyRange)) {
        if from == to {
            return;
        }
        let middle = from + (to - from) / 2;
        let node = &self.sorted[middle];
        let is_over = self.sorted[node.farthest].range.end().is_some_and(|end| end.as_ref() <= key);
        if is_over {
            return;
        }
        self.search(from, middle, key, visit);
        if node.range.start().as_ref() <= key {
            if node.range.contains(key) {
                visit(&node.range);
            }
            self.search(middle + 1, to, key, visit);
        }
    }

    /// Sorts anew once enough has changed since the last time.
    fn tidy(&mut self) {
        let n_changed_max = UNSORTED_MAX + self.sorted.len() / 16;
        if self.unsorted.len() + self.n_dead <= n_changed_max {
            return;
        }
        self.watchers.retain(|_, watchers| !watchers.is_empty());
        self.unsorted.clear();
        self.n_dead = 0;
        let mut ranges: Vec<KeyRange> = self.watchers.keys().cloned().collect();
        ranges.sort_unstable_by(|a, b| a.start().cmp(b.start()));
        self.sorted = ranges.into_iter().map(|range| Node { range, farthest: 0 }).collect();
        self.note_farthest(0, self.sorted.len());
    }

    fn note_farthest(&mut self, from: usize, to: usize) -> Option<usize> {
        if from == to {
            return None;
        }
        let middle = from + (to - from) / 2;
        let below = [self.note_farthest(from, middle), self.note_farthest(middle + 1, to)];
        let farthest = below.into_iter().flatten().fold(middle, |best, candidate| {
            match (self.sorted[best].range.end(), self.sorted[candidate].range.end()) {
                (None, _) => best,
                (_, None) => candidate,
                (Some(a), Some(b)) if a >= b => best,
                (Some(_), Some(_)) => candidate,
            }
        });
        self.sorted[middle].farthest = farthest;
        Some(farthest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0..4u8, 1..4)
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        (key(), key()).prop_filter_map("an interval, not a single key", |(start, end)| {
            let range = KeyRange::new(Bytes::from(start), Bytes::from(end));
            (!range.is_empty()).then_some(range)
        })
    }

    proptest! {
        /// The set finds what asking every range finds, whatever was added and removed before.
        #[test]
        fn finds_what_a_linear_search_finds(
            steps in proptest::collection::vec((range(), 0..30u64, any::<bool>()), 1..300),
            probes in proptest::collection::vec(key(), 20),
        ) {
            let mut set = RangeSet::default();
            let mut plain: Vec<(KeyRange, WatcherKey)> = Vec::new();
            for (range, n, is_removal) in steps {
                if is_removal && !plain.is_empty() {
                    let (range, watcher) = plain.swap_remove(n as usize % plain.len());
                    set.remove(&range, watcher);
                } else if !plain.contains(&(range.clone(), WatcherKey::new(n))) {
                    set.add(&range, WatcherKey::new(n));
                    plain.push((range, WatcherKey::new(n)));
                }
                for probe in &probes {
                    let mut found = Vec::new();
                    set.find(probe, |watcher| found.push(watcher));
                    let holding = plain.iter().filter(|(range, _)| range.contains(probe));
                    let mut expected: Vec<_> = holding.map(|(_, watcher)| *watcher).collect();
                    found.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(&found, &expected);
                }
            }
        }
    }
}
