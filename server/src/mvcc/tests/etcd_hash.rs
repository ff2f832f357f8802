//! HashKV numbers that real etcd 3.7.1 gave for a history, asked through `etcdctl endpoint hashkv --rev`.

use super::*;

/// Revision asked for (0 for the newest), hash, compact revision of the answer.
type Answer = (i64, u32, i64);

/// Asks before, during and after the physical part of the compactions that wait: the answer must not depend on it.
fn check(harness: &mut Harness, answers: &[Answer]) {
    let ask = |harness: &Harness| {
        for (at, hash, compact_revision) in answers {
            let answer = harness.store.hash_kv(*at).unwrap();
            assert_eq!(
                (*at, answer.hash, answer.compact_revision),
                (*at, *hash, *compact_revision)
            );
        }
    };
    ask(harness);
    for mut compaction in std::mem::take(&mut harness.compactions) {
        while compaction.step(NonZeroUsize::MIN).unwrap() == crate::mvcc::Progress::Working {
            ask(harness);
        }
    }
    ask(harness);
}

/// The same history gives the numbers of real etcd 3.7.1 at every revision, through four compactions.
#[test]
fn hash_kv_is_real_etcds() {
    let mut harness = Harness::new();
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        harness.put(key, value);
    }
    harness.delete("b", "");
    harness.put("c", "1");
    let mut batch = harness.batch();
    let mut txn = harness.writer.txn(&mut batch);
    txn.put("d".into(), "1".into(), 0);
    txn.put("e".into(), "22".into(), 0);
    txn.delete_range(&key_range("a", ""));
    txn.finish();
    harness.publish(batch);
    harness.put("a", "3");
    check(
        &mut harness,
        &[
            (0, 3453886146, -1),
            (2, 2587454935, -1),
            (3, 2143169314, -1),
            (4, 3086679940, -1),
            (5, 1416966122, -1),
            (6, 3076932441, -1),
            (7, 1872012025, -1),
            (8, 3453886146, -1),
        ],
    );
    harness.compact(5);
    check(
        &mut harness,
        &[
            (0, 2826242127, 5),
            (5, 1416966122, -1),
            (6, 709067906, 5),
            (7, 2966593840, 5),
            (8, 2826242127, 5),
        ],
    );
    harness.delete("a", "e");
    harness.put("f", "1");
    harness.compact(8);
    check(
        &mut harness,
        &[
            (0, 1912910076, 8),
            (5, 1416966122, -1),
            (8, 2826242127, 5),
            (9, 3146801636, 8),
            (10, 1912910076, 8),
        ],
    );
    harness.delete("\0", "\0");
    check(&mut harness, &[(0, 326239982, 8), (10, 1912910076, 8), (11, 326239982, 8)]);
    harness.compact(10);
    check(&mut harness, &[(0, 758839804, 10), (10, 1912910076, 8), (11, 758839804, 10)]);
    harness.compact(11);
    check(
        &mut harness,
        &[(0, 1084519789, 11), (8, 2826242127, 5), (10, 1912910076, 8), (11, 1821175091, 10)],
    );
}
