//! The disk: log, state, snapshots.

use super::builder::{Builder, DISK, Doubling, TRANSFER};
use prometheus::{Histogram, IntGauge};

/// `etcd_disk_*`, `etcd_snap_*` and sizes.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct DiskMetrics {
    pub wal_fsync: Histogram,
    pub wal_write: Histogram,
    pub wal_write_bytes: IntGauge,
    pub backend_commit: Histogram,
    pub backend_snapshot: Histogram,
    pub defrag: Histogram,
    pub defrag_inflight: IntGauge,
    pub db_total_bytes: IntGauge,
    pub db_in_use_bytes: IntGauge,
    pub snapshot_fsync: Histogram,
    pub snapshot_save: Histogram,
}

impl DiskMetrics {
    pub(super) fn new(b: &Builder<'_>) -> DiskMetrics {
        DiskMetrics {
            wal_fsync: b.histogram("etcd_disk_wal_fsync_duration_seconds", "Log syncs.", DISK),
            wal_write: b.histogram(
                "etcd_disk_wal_write_duration_seconds",
                "Handing of log records to the operating system.",
                DISK,
            ),
            wal_write_bytes: b
                .gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log."),
            backend_commit: b.histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "Durable commits of the state.",
                DISK,
            ),
            backend_snapshot: b.histogram(
                "etcd_disk_backend_snapshot_duration_seconds",
                "Snapshots for clients.",
                Doubling(0.01, 17),
            ),
            defrag: b.histogram(
                "etcd_disk_backend_defrag_duration_seconds",
                "Defragmentations.",
                Doubling(0.1, 13),
            ),
            defrag_inflight: b.gauge("etcd_disk_defrag_inflight", "1 while one runs."),
            db_total_bytes: b.gauge("etcd_mvcc_db_total_size_in_bytes", "State on disk."),
            db_in_use_bytes: b.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "State in use."),
            snapshot_fsync: b.histogram(
                "etcd_snap_db_fsync_duration_seconds",
                "Syncs of received snapshots.",
                DISK,
            ),
            snapshot_save: b.histogram(
                "etcd_snap_db_save_total_duration_seconds",
                "Receiving of snapshots onto the disk.",
                TRANSFER,
            ),
        }
    }
}
