//! The history of one key in memory: which revisions it has rows for, split into lives. Values are not here.
//!
//! etcd keeps a list of generations with a list of revisions each (`etcd:server/storage/mvcc/key_index.go`). Here the
//! generations lie one after the other in one list, a tombstone closing each but the newest: what etcd stores per
//! generation follows from the position, except for the oldest one, whose head a compaction may have cut off.

use super::{Revision, RevisionKey};

/// A row of the key: main and sub revision with the tombstone mark in the lowest bit of the second word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowRef {
    main: i64,
    sub_and_mark: u32,
}

impl RowRef {
    fn new(revision: Revision, is_tombstone: bool) -> RowRef {
        let sub = u32::try_from(revision.sub).ok().filter(|sub| *sub <= u32::MAX >> 1);
        let sub = sub.expect("one transaction makes fewer than 2^31 changes");
        RowRef { main: revision.main, sub_and_mark: sub << 1 | u32::from(is_tombstone) }
    }

    pub(super) fn revision(self) -> Revision {
        Revision { main: self.main, sub: i64::from(self.sub_and_mark >> 1) }
    }

    pub(super) fn is_tombstone(self) -> bool {
        self.sub_and_mark & 1 == 1
    }

    pub(super) fn row_key(self) -> RevisionKey {
        RevisionKey { revision: self.revision(), is_tombstone: self.is_tombstone() }
    }
}

/// The rows of a key, oldest first. Most keys have one, which needs no allocation.
#[derive(Clone, Debug)]
enum Rows {
    One(RowRef),
    Many(Vec<RowRef>),
}

impl Rows {
    fn as_slice(&self) -> &[RowRef] {
        match self {
            Rows::One(row) => std::slice::from_ref(row),
            Rows::Many(rows) => rows,
        }
    }

    fn push(&mut self, row: RowRef) {
        match self {
            Rows::One(first) => *self = Rows::Many(vec![*first, row]),
            Rows::Many(rows) => rows.push(row),
        }
    }

    /// Forgets the `n` oldest rows and gives memory back once most of it is unused.
    fn cut_front(&mut self, n: usize) {
        if let Rows::Many(rows) = self {
            rows.drain(..n);
            match rows.as_slice() {
                [only] => *self = Rows::One(*only),
                _ if rows.capacity() > 4 * rows.len() => rows.shrink_to(rows.len() * 2),
                _ => {}
            }
        } else {
            debug_assert_eq!(n, 0, "the only row of a key is cut by dropping the key");
        }
    }
}

/// A pair as the index knows it: all of `mvccpb.KeyValue` but value and lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The row that holds the pair.
    pub(super) modified: Revision,
    /// Main revision of the put that began this life of the key.
    pub(super) created: i64,
    /// Number of puts in this life up to and including the row.
    pub(super) version: i64,
}

/// What a compaction does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Rows before this position go.
    keep_from: usize,
    /// The row at `keep_from` is at or below the compact revision and stays.
    has_kept_row: bool,
}

/// One key's rows, in revision order, split into generations by the tombstones among them.
#[derive(Clone, Debug)]
pub(super) struct KeyIndex {
    rows: Rows,
    /// `create_revision` of the oldest generation still known here; 0 where a compaction took its puts.
    first_created: i64,
    /// `version` of the oldest row still known here.
    first_version: i64,
    /// Lease of the newest pair, 0 for none, so that a put knows what it detaches without reading a row.
    lease: i64,
    /// Position where the newest generation starts; equal to the number of rows when the key is deleted.
    newest_start: u32,
}

impl KeyIndex {
    /// A key that is put for the first time.
    pub(super) fn created(revision: Revision, lease: i64) -> KeyIndex {
        KeyIndex::restored(revision, revision.main, 1, lease)
    }

    /// A key whose oldest surviving row is a put with these fields.
    pub(super) fn restored(revision: Revision, created: i64, version: i64, lease: i64) -> KeyIndex {
        KeyIndex {
            rows: Rows::One(RowRef::new(revision, false)),
            first_created: created,
            first_version: version,
            lease,
            newest_start: 0,
        }
    }

    /// A key whose oldest surviving row is a tombstone: its puts were compacted.
    pub(super) fn restored_tombstone(revision: Revision) -> KeyIndex {
        KeyIndex {
            rows: Rows::One(RowRef::new(revision, true)),
            first_created: 0,
            first_version: 1,
            lease: 0,
            newest_start: 1,
        }
    }

    /// Records a put.
    pub(super) fn put(&mut self, revision: Revision, lease: i64) {
        self.push(RowRef::new(revision, false));
        self.lease = lease;
    }

    /// Records a delete, which ends the newest generation. Returns whether the key was alive.
    pub(super) fn tombstone(&mut self, revision: Revision) -> bool {
        let was_alive = self.is_alive();
        self.push(RowRef::new(revision, true));
        self.lease = 0;
        self.newest_start = self.len_u32();
        was_alive
    }

    fn push(&mut self, row: RowRef) {
        debug_assert!(self.newest_row().revision() < row.revision(), "revisions only grow");
        self.rows.push(row);
    }

    fn len_u32(&self) -> u32 {
        u32::try_from(self.rows.as_slice().len()).expect("a key has fewer than 2^32 rows in memory")
    }

    fn newest_row(&self) -> RowRef {
        *self.rows.as_slice().last().expect("a key without rows is dropped from the index")
    }

    /// Whether the key has a pair now.
    pub(super) fn is_alive(&self) -> bool {
        !self.newest_row().is_tombstone()
    }

    /// The lease of the newest pair, 0 for none.
    pub(super) fn lease(&self) -> i64 {
        self.lease
    }

    /// The row that holds the pair at main revision `at`; `None` where the key did not exist then.
    pub(super) fn row_at(&self, at: i64) -> Option<Revision> {
        self.position_at(at).map(|position| self.rows.as_slice()[position].revision())
    }

    /// The pair at main revision `at` as far as the index knows it.
    pub(super) fn get(&self, at: i64) -> Option<Found> {
        self.position_at(at).map(|position| self.found(position))
    }

    /// The pair now.
    pub(super) fn newest(&self) -> Option<Found> {
        self.is_alive().then(|| self.found(self.rows.as_slice().len() - 1))
    }

    /// The rows at or after main revision `from`, tombstones included, oldest first.
    pub(super) fn rows_since(&self, from: i64) -> &[RowRef] {
        let rows = self.rows.as_slice();
        &rows[rows.partition_point(|row| row.main < from)..]
    }

    fn position_at(&self, at: i64) -> Option<usize> {
        let rows = self.rows.as_slice();
        // Nearly every read is at the newest revision.
        let end = match rows.last() {
            Some(newest) if newest.main <= at => rows.len(),
            _ => rows.partition_point(|row| row.main <= at),
        };
        let position = end.checked_sub(1)?;
        (!rows[position].is_tombstone()).then_some(position)
    }

    fn found(&self, position: usize) -> Found {
        let rows = self.rows.as_slice();
        let newest_start = self.newest_start as usize;
        let start = if position >= newest_start {
            newest_start
        } else {
            rows[..position].iter().rposition(|row| row.is_tombstone()).map_or(0, |tomb| tomb + 1)
        };
        let (created, version) = match start {
            0 => (self.first_created, self.first_version),
            _ => (rows[start].main, 1),
        };
        Found {
            modified: rows[position].revision(),
            created,
            version: version + (position - start) as i64,
        }
    }

    /// Finds what a compaction at `at` leaves: etcd's `doCompact`. In the first generation that is not over before
    /// `at`, the newest row at or below `at` stays and so does all that follows.
    fn cut(&self, at: i64) -> Cut {
        let rows = self.rows.as_slice();
        let mut start = 0;
        while let Some(length) = rows[start..].iter().position(|row| row.is_tombstone()) {
            if rows[start + length].main >= at {
                break;
            }
            start += length + 1;
        }
        let end = match rows[start..].iter().position(|row| row.is_tombstone()) {
            Some(length) => start + length + 1,
            None => rows.len(),
        };
        match rows[start..end].iter().rposition(|row| row.main <= at) {
            Some(offset) => Cut { keep_from: start + offset, has_kept_row: true },
            None => Cut { keep_from: start, has_kept_row: false },
        }
    }

    /// The row at or below `at` that a compaction at `at` leaves in storage; a tombstone exactly at `at` is one.
    pub(super) fn available(&self, at: i64) -> Option<Revision> {
        let cut = self.cut(at);
        cut.has_kept_row.then(|| self.rows.as_slice()[cut.keep_from].revision())
    }

    /// The row at or below `at` that counts for a hash at `at`: like [`Self::available`], but never a tombstone.
    pub(super) fn keep(&self, at: i64) -> Option<Revision> {
        let cut = self.cut(at);
        let row = self.rows.as_slice().get(cut.keep_from)?;
        (cut.has_kept_row && !row.is_tombstone()).then(|| row.revision())
    }

    /// Forgets what a compaction at `at` removes and reports each such row. Returns false when nothing is left, so
    /// that the key must be dropped from the index.
    pub(super) fn compact(&mut self, at: i64, mut removed: impl FnMut(RowRef)) -> bool {
        let cut = self.cut(at).keep_from;
        if cut == 0 {
            return true;
        }
        let rows = self.rows.as_slice();
        rows[..cut].iter().copied().for_each(&mut removed);
        if cut == rows.len() {
            return false;
        }
        if rows[cut].is_tombstone() {
            // Only the closing tombstone is left of this generation; nobody asks for its puts any more.
            (self.first_created, self.first_version) = (0, 1);
        } else {
            let found = self.found(cut);
            (self.first_created, self.first_version) = (found.created, found.version);
        }
        self.rows.cut_front(cut);
        self.newest_start = self.newest_start.saturating_sub(cut as u32);
        true
    }
}
