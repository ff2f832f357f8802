//! A set of keys as merged intervals: what a user may read, or write. Not the interval of a request.
//!
//! etcd keeps the granted intervals in a tree and walks over neighbours at every check
//! (`etcd:server/auth/range_perm_cache.go`); merged once, a check is one binary search and answers the same.

use bytes::Bytes;

/// Keys from `start` to before `end`; to the last key where there is no end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interval {
    start: Bytes,
    end: Option<Bytes>,
}

impl Interval {
    fn reaches(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| end >= key)
    }
}

/// Merged intervals in key order; no two of them touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    intervals: Vec<Interval>,
}

impl KeySet {
    /// Merges granted intervals, each as the two fields of a permission: an empty `range_end` means the single key,
    /// one zero byte means no end. A grant without a key, which no server accepts, grants nothing.
    pub fn new<'a>(grants: impl IntoIterator<Item = (&'a Bytes, &'a Bytes)>) -> KeySet {
        let mut granted: Vec<Interval> =
            grants.into_iter().filter_map(|(key, range_end)| interval(key, range_end)).collect();
        granted.sort_by(|a, b| a.start.cmp(&b.start));
        let mut intervals: Vec<Interval> = Vec::with_capacity(granted.len());
        for next in granted {
            match intervals.last_mut() {
                Some(last) if last.reaches(&next.start) => {
                    if next.end.as_deref().is_none_or(|end| !last.reaches(end)) {
                        last.end = next.end;
                    }
                }
                _ => intervals.push(next),
            }
        }
        KeySet { intervals }
    }

    /// True when every key of a request's interval is in the set. An interval that ends before it starts holds no key;
    /// it is judged by its first one, as mostly in etcd, where the form of a tree decides.
    pub fn contains(&self, key: &[u8], range_end: &[u8]) -> bool {
        let after = self.intervals.partition_point(|interval| interval.start.as_ref() <= key);
        let Some(interval) = after.checked_sub(1).map(|at| &self.intervals[at]) else {
            return false;
        };
        let holds_key = !key.is_empty() && interval.end.as_deref().is_none_or(|end| key < end);
        holds_key
            && match range_end {
                [] => true,
                [0] => interval.end.is_none(),
                range_end => interval.reaches(range_end),
            }
    }
}

fn interval(key: &Bytes, range_end: &Bytes) -> Option<Interval> {
    let end = match range_end.as_ref() {
        [] => Some(Bytes::from([key.as_ref(), &[0]].concat())),
        [0] => None,
        _ => Some(range_end.clone()),
    };
    let holds_any = !key.is_empty() && end.as_ref().is_none_or(|end| end > key);
    holds_any.then(|| Interval { start: key.clone(), end })
}
