//! Golden behaviour of reads, writes and compactions: what etcd does, one rule a test.

use super::*;
use crate::mvcc::{ChangeKind, MvccError, NEVER_COMPACTED, RangeStream};
use crate::storage::Keyspace;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use std::ops::ControlFlow;

fn keys(harness: &Harness, request: &RangeRequest) -> Vec<String> {
    let result = harness.store.range(request).unwrap();
    result.kvs.iter().map(|kv| String::from_utf8(kv.key.to_vec()).unwrap()).collect()
}

fn refusal(harness: &Harness, request: &RangeRequest) -> Option<EtcdError> {
    harness.store.range(request).err().as_ref().and_then(MvccError::refusal)
}

/// The rows of keyspace `key` as (key, value).
fn rows(harness: &Harness) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    harness.backend.scan(Keyspace::Key, &[], None, &mut visit).unwrap();
    rows
}

/// A fresh store is at revision 1 and was never compacted.
#[test]
fn a_fresh_store_is_at_revision_one() {
    let harness = Harness::new();
    assert_eq!(harness.store.revision(), 1);
    assert_eq!(harness.store.compact_revision(), NEVER_COMPACTED);
    assert_eq!(harness.store.range(&request("a", "")).unwrap().revision, 1);
}

/// A key's version counts its puts, and a delete begins a new life with a new create revision.
#[test]
fn a_delete_begins_a_new_life() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("a", "2");
    let deleted = harness.delete("a", "");
    assert_eq!((deleted.revision, deleted.changes.len()), (4, 1));
    assert_eq!(deleted.changes[0].kind, ChangeKind::Delete);
    harness.put("a", "3");
    let pair = |revision| {
        let result = harness.store.range(&RangeRequest { revision, ..request("a", "") }).unwrap();
        result.kvs.first().map(|kv| (kv.create_revision, kv.mod_revision, kv.version))
    };
    assert_eq!(pair(2), Some((2, 2, 1)));
    assert_eq!(pair(3), Some((2, 3, 2)));
    assert_eq!(pair(4), None);
    assert_eq!(pair(0), Some((5, 5, 1)));
}

/// Rows are what etcd writes: 17 and 18 byte keys, a whole pair or just the key as the value.
#[test]
fn rows_are_etcds() {
    let mut harness = Harness::new();
    harness.put_leased("k", "v", 7);
    harness.delete("k", "");
    let put = b"\x0a\x01k\x10\x02\x18\x02\x20\x01\x2a\x01v\x30\x07".to_vec();
    let tombstone = b"\x0a\x01k".to_vec();
    let rows = rows(&harness);
    assert_eq!(rows[0], (b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0".to_vec(), put));
    assert_eq!(rows[1], (b"\0\0\0\0\0\0\0\x03_\0\0\0\0\0\0\0\0t".to_vec(), tombstone));
}

/// A transaction takes one revision for all its changes, numbered from 0, and none if it changes nothing.
#[test]
fn a_transaction_takes_one_revision() {
    let mut harness = Harness::new();
    let mut batch = harness.batch();
    let mut txn = harness.writer.txn(&mut batch);
    assert_eq!(txn.delete_range(&key_range("a", "\0")), 0);
    assert_eq!(txn.finish().revision, 1);
    let mut txn = harness.writer.txn(&mut batch);
    txn.put("a".into(), "1".into(), 0);
    txn.put("b".into(), "2".into(), 0);
    assert_eq!(txn.revision(), 2);
    assert_eq!(txn.range(&request("a", "\0")).unwrap().count, 2);
    assert_eq!(txn.delete_range(&key_range("c", "\0")), 0);
    assert_eq!(txn.finish().changes.len(), 2);
    assert_eq!(harness.publish(batch), 2);
    assert_eq!(rows(&harness)[1].0[16], 1);
}

/// Entries of one batch see each other; readers see nothing of them before they are published.
#[test]
fn unpublished_changes_are_the_writers_own() {
    let mut harness = Harness::new();
    let mut batch = harness.batch();
    let mut txn = harness.writer.txn(&mut batch);
    txn.put("a".into(), "1".into(), 0);
    txn.finish();
    let mut txn = harness.writer.txn(&mut batch);
    assert_eq!(txn.get(b"a").unwrap().unwrap().value, "1");
    txn.put("a".into(), "2".into(), 0);
    assert_eq!(txn.get(b"a").unwrap().unwrap().version, 2);
    txn.finish();
    assert_eq!(harness.store.range(&request("a", "")).unwrap().count, 0);
    assert_eq!(harness.publish(batch), 3);
    assert_eq!(harness.store.range(&request("a", "")).unwrap().kvs[0].value, "2");
}

/// Each change names the lease that the key was attached to before.
#[test]
fn changes_name_the_previous_lease() {
    let mut harness = Harness::new();
    assert_eq!(harness.put_leased("a", "1", 7).changes[0].previous_lease, 0);
    assert_eq!(harness.put_leased("a", "1", 8).changes[0].previous_lease, 7);
    harness.reopen();
    let mut leased = Vec::new();
    harness.store.for_each_leased(|key, lease| leased.push((key.to_vec(), lease)));
    assert_eq!(leased, [(b"a".to_vec(), 8)]);
    assert_eq!(harness.delete("a", "").changes[0].previous_lease, 8);
    assert_eq!(harness.put_leased("a", "1", 0).changes[0].previous_lease, 0);
}

/// `count` is the whole interval whatever the limit; `more` says that the limit cut.
#[test]
fn a_limit_cuts_pairs_but_not_the_count() {
    let mut harness = Harness::new();
    for key in ["a", "b", "c"] {
        harness.put(key, "v");
    }
    let limited =
        |limit| harness.store.range(&RangeRequest { limit, ..request("a", "\0") }).unwrap();
    assert_eq!((limited(2).kvs.len(), limited(2).more, limited(2).count), (2, true, 3));
    assert_eq!((limited(3).kvs.len(), limited(3).more, limited(3).count), (3, false, 3));
    assert_eq!((limited(-1).kvs.len(), limited(-1).more), (3, false));
    let counted = RangeRequest { count_only: true, ..request("a", "c") };
    assert_eq!(harness.store.range(&counted).unwrap().count, 2);
    assert_eq!(keys(&harness, &counted), [""; 0]);
}

/// Sorting and filters look at the whole interval before the limit cuts; the count ignores both.
#[test]
fn sorting_and_filters_come_before_the_limit() {
    let mut harness = Harness::new();
    for (key, value) in [("a", "z"), ("b", "x"), ("c", "y"), ("a", "w")] {
        harness.put(key, value);
    }
    let sorted = |target: SortTarget, order: SortOrder| RangeRequest {
        sort_target: target.into(),
        sort_order: order.into(),
        limit: 2,
        ..request("a", "\0")
    };
    assert_eq!(keys(&harness, &sorted(SortTarget::Mod, SortOrder::Descend)), ["a", "c"]);
    assert_eq!(keys(&harness, &sorted(SortTarget::Create, SortOrder::Ascend)), ["a", "b"]);
    assert_eq!(keys(&harness, &sorted(SortTarget::Version, SortOrder::Descend)), ["a", "b"]);
    assert_eq!(keys(&harness, &sorted(SortTarget::Value, SortOrder::Descend)), ["c", "b"]);
    assert_eq!(keys(&harness, &sorted(SortTarget::Key, SortOrder::Descend)), ["c", "b"]);
    let filtered = RangeRequest { min_mod_revision: 4, limit: 1, ..request("a", "\0") };
    let result = harness.store.range(&filtered).unwrap();
    assert_eq!((result.kvs[0].mod_revision, result.more, result.count), (5, true, 3));
}

/// A sort target without an order sorts ascending, but only what the limit lets through: etcd's own oddity.
#[test]
fn an_implied_order_sorts_after_the_limit() {
    let mut harness = Harness::new();
    for (key, value) in [("a", "3"), ("b", "2"), ("c", "1"), ("d", "0")] {
        harness.put(key, value);
    }
    let implied =
        RangeRequest { sort_target: SortTarget::Value.into(), limit: 2, ..request("a", "\0") };
    assert_eq!(keys(&harness, &implied), ["c", "b"]);
}

/// A keys-only answer has no lease, as in etcd 3.7, unless it is sorted by value and so had to read the rows.
#[test]
fn keys_only_has_no_lease_unless_sorted_by_value() {
    let mut harness = Harness::new();
    harness.put_leased("a", "1", 7);
    let only = RangeRequest { keys_only: true, ..request("a", "") };
    let pair = harness.store.range(&only).unwrap().kvs.remove(0);
    assert_eq!((pair.mod_revision, pair.version, pair.lease, pair.value.len()), (2, 1, 0, 0));
    let by_value = RangeRequest { sort_target: SortTarget::Value.into(), ..only };
    let pair = harness.store.range(&by_value).unwrap().kvs.remove(0);
    assert_eq!((pair.lease, pair.value.len()), (7, 0));
}

/// The revision of a read is checked against both ends of the history; the compact revision itself can be read.
#[test]
fn reads_are_refused_outside_the_history() {
    let mut harness = Harness::new();
    for value in ["1", "2", "3"] {
        harness.put("a", value);
    }
    harness.compact(3);
    let at = |revision| RangeRequest { revision, ..request("a", "") };
    assert_eq!(refusal(&harness, &at(2)), Some(EtcdError::Compacted));
    assert_eq!(harness.store.range(&at(3)).unwrap().kvs[0].value, "2");
    assert_eq!(refusal(&harness, &at(5)), Some(EtcdError::FutureRevision));
    let unknown = RangeRequest { sort_order: 9, ..request("a", "") };
    assert_eq!(refusal(&harness, &unknown), Some(EtcdError::InvalidSortOption));
}

/// A negative revision means the newest one, as in etcd, but is refused in the check that a transaction makes.
#[test]
fn negative_revisions_are_etcds() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    let negative = RangeRequest { revision: -2, ..request("a", "") };
    assert_eq!(harness.store.range(&negative).unwrap().count, 1);
    let check = |revision| harness.store.read(|view| Ok(view.check_revision(revision))).unwrap();
    assert_eq!(check(-2), Err(EtcdError::Compacted));
    assert_eq!((check(0), check(3)), (Ok(()), Err(EtcdError::FutureRevision)));
}

/// A retired store refuses reads, and its compactions leave the rows of its successor alone.
#[test]
fn a_retired_store_does_nothing_more() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("a", "2");
    harness.compact(3);
    harness.store.retire();
    assert_eq!(refusal(&harness, &request("a", "")), Some(EtcdError::Stopped));
    harness.run_compactions();
    assert_eq!(rows(&harness).len(), 2);
}

/// A compaction refuses what is compacted already and what is in the future.
#[test]
fn compactions_only_go_forward() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.compact(2);
    let mut batch = harness.batch();
    assert_eq!(harness.writer.compact(&mut batch, 2), Err(EtcdError::Compacted));
    assert_eq!(harness.writer.compact(&mut batch, 3), Err(EtcdError::FutureRevision));
}

/// A compaction leaves the newest row of each live key, everything above, and a tombstone exactly at its revision.
#[test]
fn a_compaction_removes_what_nobody_can_read() {
    let mut harness = Harness::new();
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")] {
        harness.put(key, value);
    }
    harness.delete("b", "");
    harness.delete("c", "");
    harness.put("a", "3");
    harness.compact(7);
    harness.run_compactions();
    let mains: Vec<u8> = rows(&harness).iter().map(|row| row.0[7]).collect();
    assert_eq!(mains, [3, 7, 8]);
    assert_eq!(harness.store.finished_compact_revision(), 7);
    harness.compact(8);
    harness.run_compactions();
    let mains: Vec<u8> = rows(&harness).iter().map(|row| row.0[7]).collect();
    assert_eq!(mains, [8]);
}

/// Reopening gives the same revisions, pairs and versions, and takes up a compaction that was not finished.
#[test]
fn reopening_rebuilds_everything() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    harness.put("a", "2");
    harness.put("b", "1");
    harness.delete("b", "");
    harness.compact(4);
    let before = harness.store.range(&request("a", "\0")).unwrap();
    harness.reopen();
    assert_eq!(harness.store.range(&request("a", "\0")).unwrap(), before);
    assert_eq!((harness.store.revision(), harness.store.compact_revision()), (5, 4));
    assert_eq!(harness.compactions.len(), 1);
    harness.run_compactions();
    harness.reopen();
    assert_eq!(harness.store.range(&request("a", "\0")).unwrap(), before);
    assert!(harness.compactions.is_empty());
    harness.put("a", "3");
    assert_eq!(harness.store.range(&request("a", "")).unwrap().kvs[0].version, 3);
}

/// HashKV does not depend on how far the physical part of a compaction has come.
#[test]
fn hash_kv_is_the_same_before_and_after_the_physical_part() {
    let mut harness = Harness::new();
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("a", "3")] {
        harness.put(key, value);
    }
    harness.delete("b", "");
    harness.compact(4);
    let hashes = |harness: &Harness| [0, 4, 5, 6].map(|at| harness.store.hash_kv(at).unwrap());
    let before = hashes(&harness);
    assert_eq!((before[0].compact_revision, before[1].compact_revision), (4, -1));
    let mut compaction = harness.compactions.remove(0);
    while compaction.step(NonZeroUsize::MIN).unwrap() == crate::mvcc::Progress::Working {
        assert_eq!(hashes(&harness), before);
    }
    assert_eq!(hashes(&harness), before);
}

/// A streamed range gives the same pairs as a range, all at the revision of the first chunk, and the sums at the end.
#[test]
fn a_streamed_range_is_pinned_to_its_first_chunk() {
    let mut harness = Harness::new();
    for n in 0..40 {
        harness.put(&format!("k{n:02}"), &"v".repeat(100));
    }
    let whole = harness.store.range(&request("k", "l")).unwrap();
    let limited = RangeRequest { limit: 35, ..request("k", "l") };
    for (request, n_pairs, more) in [(request("k", "l"), 40, false), (limited, 35, true)] {
        let store = Arc::clone(&harness.store);
        let mut stream = RangeStream::new(store, request, 4000);
        let first = stream.next_chunk().unwrap().unwrap();
        assert_eq!((first.kvs.len(), first.end), (10, None));
        harness.put("k00", "later");
        harness.delete("k39", "");
        let mut kvs = first.kvs;
        let mut end = None;
        while let Some(chunk) = stream.next_chunk().unwrap() {
            assert_eq!(end, None);
            kvs.extend(chunk.kvs);
            end = chunk.end;
        }
        let n_before = whole.count - i64::from(more);
        assert_eq!(kvs[1..], whole.kvs[1..n_pairs]);
        assert_eq!(end.map(|end| (end.more, end.count)), Some((more, n_before)));
        assert!(end.unwrap().revision < harness.store.revision());
    }
}
