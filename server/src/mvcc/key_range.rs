//! The half-open interval of keys that reads, deletes and watches name. Not for permissions, which have their own.
//!
//! Facts: `reference/etcd-api.md`, section 4.

use bytes::Bytes;
use std::ops::Bound;

/// An interval of keys. It may be empty (`end` at or before `start`): such a range finds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Bytes,
    end: RangeEnd,
}

/// Where a [`KeyRange`] ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum RangeEnd {
    /// The range is the single key at its start.
    Single,
    /// The range ends before this key.
    Before(Bytes),
    /// The range has no end.
    Open,
}

impl KeyRange {
    /// Reads the two fields of a request: an empty `range_end` means the single key, one zero byte means no end.
    pub fn new(key: Bytes, range_end: Bytes) -> KeyRange {
        let end = match range_end.as_ref() {
            [] => RangeEnd::Single,
            [0] => RangeEnd::Open,
            _ => RangeEnd::Before(range_end),
        };
        KeyRange { start: key, end }
    }

    /// The range of one key.
    pub fn single(key: Bytes) -> KeyRange {
        KeyRange { start: key, end: RangeEnd::Single }
    }

    /// The range of all keys.
    pub fn all() -> KeyRange {
        KeyRange { start: Bytes::new(), end: RangeEnd::Open }
    }

    /// The key itself where the range is a single key.
    pub fn as_single(&self) -> Option<&Bytes> {
        matches!(self.end, RangeEnd::Single).then_some(&self.start)
    }

    /// The first key that the range could hold.
    pub fn start(&self) -> &Bytes {
        &self.start
    }

    /// The first key after the range, where it has an end and is not a single key.
    pub fn end(&self) -> Option<&Bytes> {
        match &self.end {
            RangeEnd::Before(end) => Some(end),
            RangeEnd::Single | RangeEnd::Open => None,
        }
    }

    /// The field `range_end` of a request for this range.
    pub fn wire_end(&self) -> &[u8] {
        match &self.end {
            RangeEnd::Single => &[],
            RangeEnd::Before(end) => end,
            RangeEnd::Open => &[0],
        }
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, RangeEnd::Before(end) if *end <= self.start)
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            RangeEnd::Single => key == self.start,
            RangeEnd::Before(end) => key >= self.start.as_ref() && key < end.as_ref(),
            RangeEnd::Open => key >= self.start.as_ref(),
        }
    }

    /// The bounds for an ordered map. Only for ranges that are not empty: `BTreeMap::range` panics on others.
    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = match &self.end {
            RangeEnd::Single => Bound::Included(self.start.as_ref()),
            RangeEnd::Before(end) => Bound::Excluded(end.as_ref()),
            RangeEnd::Open => Bound::Unbounded,
        };
        (Bound::Included(self.start.as_ref()), end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(Bytes::from(key), Bytes::from(end))
    }

    /// The three forms of `range_end` mean one key, an interval, and everything from the key on.
    #[test]
    fn range_end_has_three_forms() {
        assert!(range("b", "").contains(b"b") && !range("b", "").contains(b"b1"));
        assert!(range("b", "d").contains(b"c") && !range("b", "d").contains(b"d"));
        assert!(range("b", "\0").contains(b"\xff\xff") && !range("b", "\0").contains(b"a"));
        assert!(range("\0", "\0").contains(b"\0"));
    }

    /// An interval that ends where it starts, or before, is empty; a single key is not.
    #[test]
    fn reversed_intervals_are_empty() {
        assert!(range("b", "b").is_empty() && range("b", "a").is_empty());
        assert!(!range("b", "").is_empty() && !range("b", "\0").is_empty());
    }
}
