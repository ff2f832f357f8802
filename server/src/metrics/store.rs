//! The key-value state: operations, revisions, compactions, hashes.

use super::builder::{Builder, Doubling};
use prometheus::{Histogram, IntCounter, IntGauge};

/// `etcd_mvcc_*` and `etcd_debugging_mvcc_*` without the watches.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct StoreMetrics {
    pub puts: IntCounter,
    pub deletes: IntCounter,
    pub ranges: IntCounter,
    pub txns: IntCounter,
    pub hash: Histogram,
    pub hash_kv: Histogram,
    pub keys: IntGauge,
    pub put_bytes: IntGauge,
    pub current_revision: IntGauge,
    pub compact_revision: IntGauge,
    pub compacted_rows: IntCounter,
    pub compaction_last: IntGauge,
    pub compaction_pause_ms: Histogram,
    pub compaction_total_ms: Histogram,
    pub index_compaction_pause_ms: Histogram,
}

impl StoreMetrics {
    pub(super) fn new(b: &Builder<'_>) -> StoreMetrics {
        StoreMetrics {
            puts: b.counter("etcd_mvcc_put_total", "Puts seen by this member."),
            deletes: b.counter("etcd_mvcc_delete_total", "Deletes seen by this member."),
            ranges: b.counter("etcd_mvcc_range_total", "Ranges seen by this member."),
            txns: b.counter("etcd_mvcc_txn_total", "Transactions seen by this member."),
            hash: b.histogram(
                "etcd_mvcc_hash_duration_seconds",
                "Hashes of the whole state.",
                Doubling(0.01, 15),
            ),
            hash_kv: b.histogram(
                "etcd_mvcc_hash_rev_duration_seconds",
                "Hashes of the history up to a revision.",
                Doubling(0.01, 15),
            ),
            keys: b.gauge("etcd_debugging_mvcc_keys_total", "Live keys."),
            put_bytes: b.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes put so far."),
            current_revision: b.gauge("etcd_debugging_mvcc_current_revision", "Store revision."),
            compact_revision: b.gauge("etcd_debugging_mvcc_compact_revision", "Compact revision."),
            compacted_rows: b.counter(
                "etcd_debugging_mvcc_db_compaction_keys_total",
                "Rows removed by compactions.",
            ),
            compaction_last: b.gauge(
                "etcd_debugging_mvcc_db_compaction_last",
                "When the last compaction ended, in seconds since 1970.",
            ),
            compaction_pause_ms: b.histogram(
                "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
                "Steps of compactions.",
                Doubling(1.0, 13),
            ),
            compaction_total_ms: b.histogram(
                "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                "Whole compactions.",
                Doubling(100.0, 14),
            ),
            index_compaction_pause_ms: b.histogram(
                "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
                "Walks of compactions through the index.",
                Doubling(0.5, 14),
            ),
        }
    }
}
