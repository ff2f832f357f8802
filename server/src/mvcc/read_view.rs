//! Reading at a pinned revision: ranges with every option of the request, by etcd's rules. Nothing here writes.
//!
//! Facts: `reference/etcd-api.md`, section 5.1; `etcd:server/etcdserver/txn/range.go`.

use super::key_index::Found;
use super::pending::Pending;
use super::{KeyRange, MvccError, Revision, Store};
use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::RangeRequest;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::mvccpb::KeyValue;
use std::cmp::Ordering;
use std::ops::ControlFlow;

/// The answer to a range request, without the parts of the header that the room does not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeResult {
    /// The pairs, sorted, filtered and cut as asked.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut pairs off.
    pub more: bool,
    /// Keys in the interval at the revision asked for, whatever the limit and the filters.
    pub count: i64,
    /// The view's revision, which is not the one asked for.
    pub revision: i64,
}

/// A reader that is pinned to one revision.
#[derive(Debug)]
pub struct ReadView<'a> {
    store: &'a Store,
    current: i64,
    compact: i64,
    /// Rows that are not in storage yet; only the writer's own views have them.
    pending: Option<&'a Pending>,
}

/// What a range counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counting {
    /// All keys in the interval, as a client is told.
    Interval,
    /// No more than what is listed: the rest of the interval is not looked at.
    Listed,
}

/// What [`ReadView::candidates`] is to find out.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Pairs to list.
    fetch: usize,
    /// Whether the keys themselves are needed; rows have them too.
    with_keys: bool,
    /// Whether create revision and version are needed.
    with_facts: bool,
    counting: Counting,
}

/// A pair that may be in the answer, as far as the index knows it.
struct Candidate {
    found: Found,
    /// Only filled where no row will be read.
    key: Bytes,
}

impl<'a> ReadView<'a> {
    /// A view of what is published.
    pub(super) fn published(store: &'a Store) -> ReadView<'a> {
        // In this order a compact revision above the current one can be seen, and is taken for an overtaken view.
        let current = store.revision();
        ReadView { store, current, compact: store.compact_revision(), pending: None }
    }

    /// The writer's view of its own unpublished state.
    pub(super) fn unpublished(
        store: &'a Store,
        current: i64,
        compact: i64,
        pending: &'a Pending,
    ) -> ReadView<'a> {
        ReadView { store, current, compact, pending: Some(pending) }
    }

    /// The revision that the view is pinned to.
    pub fn revision(&self) -> i64 {
        self.current
    }

    /// Whether a compaction above the view's revision has begun to take rows from under it.
    pub(super) fn is_overtaken(&self) -> bool {
        self.pending.is_none() && self.store.compact_revision() > self.current
    }

    /// Checks a revision that a range in a transaction names; 0 means the view's own.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    pub fn check_revision(&self, revision: i64) -> Result<(), EtcdError> {
        match revision {
            0 => Ok(()),
            _ => Store::check_revision(revision, self.current, self.compact),
        }
    }

    /// The pair of `key`, if the key exists.
    ///
    /// # Errors
    /// Storage fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, MvccError> {
        match self.store.index.row_at(key, self.current) {
            Some(revision) => self.row(revision).map(Some),
            None => Ok(None),
        }
    }

    /// Answers a range request. Interval, sort, filters and limit follow etcd; the request was checked by `api`.
    ///
    /// # Errors
    /// Refuses a compacted, future or unknown sort request; fails where storage does.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResult, MvccError> {
        self.range_counting(request, Counting::Interval)
    }

    /// Answers a range request; what is counted can be chosen.
    pub(super) fn range_counting(
        &self,
        request: &RangeRequest,
        counting: Counting,
    ) -> Result<RangeResult, MvccError> {
        self.store.counters.ranges.add(1);
        // Outside a transaction etcd takes a negative revision for the newest one.
        let at = if request.revision <= 0 { self.current } else { request.revision };
        Store::check_revision(at, self.current, self.compact)?;
        let range = KeyRange::new(request.key.clone(), request.range_end.clone());
        if request.count_only {
            let count = self.count(&range, at);
            self.check_still_there(at)?;
            return Ok(RangeResult { count, revision: self.current, ..RangeResult::default() });
        }
        let sort = Sort::new(request)?;
        let result = self.range_sorted(request, &range, at, sort, counting);
        // Rows may have gone missing, or not have been counted, because a compaction ran past the revision.
        self.check_still_there(at)?;
        result
    }

    fn range_sorted(
        &self,
        request: &RangeRequest,
        range: &KeyRange,
        at: i64,
        sort: Option<Sort>,
        counting: Counting,
    ) -> Result<RangeResult, MvccError> {
        let needs_values = matches!(sort, Some(Sort { target: SortTarget::Value, .. }));
        let only_keys = request.keys_only && !needs_values;
        let is_filtered = is_filtered(request);
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let fetch = fetch_limit(limit, sort, is_filtered);
        let needs_facts = only_keys || is_filtered || sort.is_some();
        let wanted = Wanted { fetch, with_keys: only_keys, with_facts: needs_facts, counting };
        let (mut candidates, count) = self.candidates(range, at, wanted);
        candidates.retain(|candidate| passes_filters(request, &candidate.found));
        if let Some(sort) = sort.filter(|_| !needs_values) {
            sort.apply(&mut candidates, |candidate, target| match target {
                SortTarget::Version => candidate.found.version,
                SortTarget::Create => candidate.found.created,
                SortTarget::Mod | SortTarget::Key | SortTarget::Value => {
                    candidate.found.modified.main
                }
            });
        }
        let more = limit.is_some_and(|limit| candidates.len() > limit);
        if let Some(limit) = limit.filter(|_| !needs_values) {
            candidates.truncate(limit);
        }
        let mut kvs = if only_keys {
            candidates.into_iter().map(Candidate::into_pair).collect()
        } else {
            let revisions: Vec<_> = candidates.iter().map(|c| c.found.modified).collect();
            self.rows(&revisions)?
        };
        if let Some(sort) = sort.filter(|_| needs_values) {
            sort.apply_to_values(&mut kvs);
            kvs.truncate(limit.unwrap_or(usize::MAX));
            if request.keys_only {
                kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
            }
        }
        Ok(RangeResult { kvs, more, count, revision: self.current })
    }

    /// Lists the pairs in the interval that are wanted, and counts.
    fn candidates(&self, range: &KeyRange, at: i64, wanted: Wanted) -> (Vec<Candidate>, i64) {
        let mut candidates = Vec::new();
        let mut count = 0;
        self.store.index.walk_while(range, |key, history| {
            if candidates.len() >= wanted.fetch {
                if wanted.counting == Counting::Listed {
                    return ControlFlow::Break(());
                }
                count += i64::from(history.row_at(at).is_some());
                return ControlFlow::Continue(());
            }
            let found = if wanted.with_facts {
                history.get(at)
            } else {
                history.row_at(at).map(|modified| Found { modified, created: 0, version: 0 })
            };
            if let Some(found) = found {
                count += 1;
                let key = match wanted.with_keys {
                    true => Bytes::copy_from_slice(key),
                    false => Bytes::new(),
                };
                candidates.push(Candidate { found, key });
            }
            ControlFlow::Continue(())
        });
        (candidates, count)
    }

    /// Keys in the interval at `at`.
    pub(super) fn count(&self, range: &KeyRange, at: i64) -> i64 {
        let mut count = 0;
        self.store.index.walk(range, |_, history| count += i64::from(history.row_at(at).is_some()));
        count
    }

    /// Refuses what a compaction that began after the view was taken may have spoilt. The view's own revision is not
    /// refused: [`Store::read`] takes a newer view instead.
    fn check_still_there(&self, at: i64) -> Result<(), MvccError> {
        if self.pending.is_none() && at < self.store.compact_revision() {
            return Err(EtcdError::Compacted.into());
        }
        Ok(())
    }

    fn row(&self, revision: Revision) -> Result<KeyValue, MvccError> {
        match self.pending.and_then(|pending| pending.get(revision)) {
            Some(pair) => Ok(pair.clone()),
            None => self.store.rows.get(revision),
        }
    }

    fn rows(&self, revisions: &[Revision]) -> Result<Vec<KeyValue>, MvccError> {
        match self.pending {
            Some(pending) if !pending.is_empty() => {
                revisions.iter().map(|revision| self.row(*revision)).collect()
            }
            _ => self.store.rows.get_many(revisions),
        }
    }
}

impl Candidate {
    /// The pair as a keys-only answer has it: without value and, as etcd 3.7 does it, without lease.
    fn into_pair(self) -> KeyValue {
        KeyValue {
            key: self.key,
            create_revision: self.found.created,
            mod_revision: self.found.modified.main,
            version: self.found.version,
            value: Bytes::new(),
            lease: 0,
        }
    }
}

/// An order other than the index's own.
#[derive(Clone, Copy, Debug)]
struct Sort {
    target: SortTarget,
    is_descending: bool,
    /// Whether the order was named, not implied by the target.
    is_explicit: bool,
}

impl Sort {
    fn new(request: &RangeRequest) -> Result<Option<Sort>, EtcdError> {
        let target = SortTarget::try_from(request.sort_target);
        let order = SortOrder::try_from(request.sort_order);
        let (Ok(target), Ok(order)) = (target, order) else {
            return Err(EtcdError::InvalidSortOption);
        };
        let is_by_key = target == SortTarget::Key;
        Ok(match order {
            SortOrder::None | SortOrder::Ascend if is_by_key => None,
            SortOrder::None => Some(Sort { target, is_descending: false, is_explicit: false }),
            SortOrder::Ascend => Some(Sort { target, is_descending: false, is_explicit: true }),
            SortOrder::Descend => Some(Sort { target, is_descending: true, is_explicit: true }),
        })
    }

    /// Sorts what comes in key order; equal elements stay in key order.
    fn apply<T>(self, items: &mut [T], number: impl Fn(&T, SortTarget) -> i64) {
        if self.target == SortTarget::Key {
            // Sorting by key ascending is no sort at all, so this is the other direction.
            items.reverse();
            return;
        }
        items.sort_by(|a, b| self.direct(number(a, self.target).cmp(&number(b, self.target))));
    }

    fn apply_to_values(self, kvs: &mut [KeyValue]) {
        kvs.sort_by(|a, b| self.direct(a.value.cmp(&b.value)));
    }

    fn direct(self, ordering: Ordering) -> Ordering {
        if self.is_descending { ordering.reverse() } else { ordering }
    }
}

/// How many pairs to list. An order that is only implied by the sort target does not lift the limit: etcd sorts what
/// the limit has let through, and so does this.
fn fetch_limit(limit: Option<usize>, sort: Option<Sort>, is_filtered: bool) -> usize {
    match limit {
        Some(limit) if !is_filtered && !sort.is_some_and(|sort| sort.is_explicit) => {
            limit.saturating_add(1)
        }
        _ => usize::MAX,
    }
}

fn is_filtered(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes_filters(request: &RangeRequest, found: &Found) -> bool {
    let passes = |number: i64, min: i64, max: i64| {
        (min == 0 || number >= min) && (max == 0 || number <= max)
    };
    passes(found.modified.main, request.min_mod_revision, request.max_mod_revision)
        && passes(found.created, request.min_create_revision, request.max_create_revision)
}
