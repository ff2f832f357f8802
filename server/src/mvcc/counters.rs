//! What the room counts for the metrics page. Only numbers: names and formats belong to the `metrics` leaf's readers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// A number that only grows while the process lives.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// All counters of the room; the metric that each one feeds is named beside it.
#[derive(Debug, Default)]
pub struct Counters {
    /// Live keys: `etcd_debugging_mvcc_keys_total`.
    pub keys: Gauge,
    /// Puts applied: `etcd_mvcc_put_total`.
    pub puts: Counter,
    /// Keys deleted: `etcd_mvcc_delete_total`.
    pub deletes: Counter,
    /// Ranges served: `etcd_mvcc_range_total`.
    pub ranges: Counter,
    /// Transactions of more than one operation: `etcd_mvcc_txn_total`.
    pub txns: Counter,
    /// Bytes of keys and values put: `etcd_debugging_mvcc_total_put_size_in_bytes`.
    pub put_bytes: Gauge,
    /// Rows removed by compactions: `etcd_debugging_mvcc_db_compaction_keys_total`.
    pub compacted_rows: Counter,
    /// Events sent to watchers: `etcd_debugging_mvcc_events_total`.
    pub events: Counter,
    /// Events waiting in the queues of watch streams: `etcd_debugging_mvcc_pending_events_total`.
    pub pending_events: Gauge,
    /// Bytes of those events, counted for every stream that they wait for.
    pub pending_event_bytes: Gauge,
    /// Open watch streams: `etcd_debugging_mvcc_watch_stream_total`.
    pub watch_streams: Gauge,
    /// Watchers: `etcd_debugging_mvcc_watcher_total`.
    pub watchers: Gauge,
    /// Watchers that are catching up: `etcd_debugging_mvcc_slow_watcher_total`.
    pub slow_watchers: Gauge,
}
