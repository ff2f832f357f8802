//! Reading past changes for watchers that are behind: from memory where it reaches back far enough, else from the rows.

use super::WatchLimits;
use super::events::RevisionEvents;
use crate::mvcc::rows::decode;
use crate::mvcc::{Change, ChangeKind, Changes, KeyRange, MvccError, Revision, RevisionKey, Store};
use bytes::Bytes;
use quorate_proto::mvccpb::KeyValue;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The changes in a range of keys over a stretch of revisions.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Revisions with changes for the range. They may hold changes of other keys.
    pub(super) events: Vec<Arc<RevisionEvents>>,
    /// The last revision that was looked at.
    pub(super) reached: i64,
}

impl Stretch {
    /// What the recent changes say.
    pub(super) fn recent(events: Vec<Arc<RevisionEvents>>, from: i64) -> Stretch {
        let reached = events.last().map_or(from - 1, |events| events.revision());
        Stretch { events, reached }
    }
}

/// Reads the changes in `range` from revision `from` to `to`, both included, or as far as one go should take.
///
/// A compaction above `from` may run at the same time: the caller throws the result away if one was published.
pub(super) fn read(
    store: &Store,
    range: &KeyRange,
    from: i64,
    to: i64,
    limits: &WatchLimits,
) -> Result<Stretch, MvccError> {
    match range.as_single() {
        Some(key) => read_key(store, key, from, to, limits),
        None => read_rows(store, range, from, to, limits),
    }
}

/// Rows of one key that are read at a time.
const KEY_ROWS: usize = 16;

/// The index knows all revisions of a key, so nothing else is read; only its rows tell how many bytes they are.
fn read_key(
    store: &Store,
    key: &Bytes,
    from: i64,
    to: i64,
    limits: &WatchLimits,
) -> Result<Stretch, MvccError> {
    let n_max = limits.stretch_revisions_max;
    let mut rows = store.index.rows_between(key, from, to, n_max + 1);
    let mut reached = to;
    if rows.len() > n_max {
        // The first row too many may belong to the last revision in, so that one is left for the next time.
        let cut = rows[n_max].revision.main;
        rows.retain(|row| row.revision.main < cut);
        reached = cut - 1;
    }
    let mut collector = Collector::default();
    let mut current = from;
    for piece in rows.chunks(KEY_ROWS) {
        let first = piece[0].revision.main;
        if first != current && collector.is_full(limits) {
            reached = first - 1;
            break;
        }
        let puts = piece.iter().filter(|row| !row.is_tombstone).map(|row| row.revision);
        let puts: Vec<Revision> = puts.collect();
        let mut pairs = store.rows.get_many(&puts)?.into_iter();
        for row in piece {
            let kv = match row.is_tombstone {
                true => KeyValue { key: key.clone(), ..KeyValue::default() },
                false => pairs.next().ok_or(MvccError::MissingRow(row.revision))?,
            };
            current = row.revision.main;
            collector.add(*row, kv);
        }
    }
    Ok(Stretch { events: collector.finish(), reached })
}

/// Reads the rows of the revisions one after the other and keeps those whose key is in the range.
fn read_rows(
    store: &Store,
    range: &KeyRange,
    from: i64,
    to: i64,
    limits: &WatchLimits,
) -> Result<Stretch, MvccError> {
    let mut collector = Collector::default();
    let mut reached = to;
    let mut current = from;
    let mut n_rows = 0;
    let mut failed = None;
    store.rows.scan(Revision { main: from, sub: 0 }, to, |row, key, value| {
        if row.revision.main != current {
            // Only between revisions: a revision is never split.
            if n_rows >= limits.stretch_rows_max || collector.is_full(limits) {
                reached = row.revision.main - 1;
                return ControlFlow::Break(());
            }
            current = row.revision.main;
        }
        n_rows += 1;
        if key_of(value).is_some_and(|key| !range.contains(key)) {
            return ControlFlow::Continue(());
        }
        match decode(key, Bytes::copy_from_slice(value)) {
            Ok(kv) => {
                collector.add(row, kv);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Stretch { events: collector.finish(), reached }),
    }
}

/// The user's key in an encoded pair, without decoding the rest: it is the first field, with a one-byte tag.
fn key_of(row: &[u8]) -> Option<&[u8]> {
    let mut rest = row.strip_prefix(&[0x0a])?;
    let len = prost::encoding::decode_varint(&mut rest).ok()?;
    rest.get(..usize::try_from(len).ok()?)
}

/// Puts rows that come in order together into revisions.
#[derive(Default)]
struct Collector {
    revisions: Vec<Changes>,
    bytes: usize,
}

impl Collector {
    fn add(&mut self, row: RevisionKey, mut kv: KeyValue) {
        self.bytes += kv.key.len() + kv.value.len();
        let kind = if row.is_tombstone { ChangeKind::Delete } else { ChangeKind::Put };
        let revision = row.revision.main;
        kv.mod_revision = revision;
        let change = Change { kind, kv, previous_lease: 0 };
        match self.revisions.last_mut() {
            Some(last) if last.revision == revision => last.changes.push(change),
            _ => self.revisions.push(Changes { revision, changes: vec![change] }),
        }
    }

    fn is_full(&self, limits: &WatchLimits) -> bool {
        self.revisions.len() >= limits.stretch_revisions_max
            || self.bytes >= limits.stretch_bytes_max
    }

    fn finish(self) -> Vec<Arc<RevisionEvents>> {
        let revisions = self.revisions.into_iter();
        revisions.map(|changes| Arc::new(RevisionEvents::new(Arc::new(changes)))).collect()
    }
}

impl Store {
    /// The pair of `key` just before main revision `revision`; `None` where there was none or it is compacted.
    pub(super) fn pair_before(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        let at = revision - 1;
        if at < self.compact_revision() {
            return None;
        }
        let row = self.index.row_at(key, at)?;
        match self.rows.get(row) {
            Ok(pair) => Some(pair),
            // Compacted just now.
            Err(MvccError::MissingRow(_)) if at < self.compact_revision() => None,
            Err(_) if self.is_retired() => None,
            Err(error) => {
                // The state is damaged or gone; whoever applies the next entry stops the member for it.
                tracing::error!(%error, "cannot read the previous pair of a watched key");
                None
            }
        }
    }
}
