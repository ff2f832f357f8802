//! What raft measures, written into the metrics.

use crate::metrics::Metrics;
use crate::raft::Observer;
use std::time::Duration;

/// Log syncs above this are warned of, as etcd does.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// Counts for raft.
pub(super) struct MetricsObserver(pub(super) Metrics);

impl Observer for MetricsObserver {
    fn wal_synced(&self, took: Duration) {
        self.0.wal_fsync.observe(took.as_secs_f64());
        if took > SLOW_SYNC {
            tracing::warn!(took_ms = took.as_millis() as u64, "slow fdatasync");
        }
    }

    fn proposal_started(&self) {
        self.0.proposals_pending.inc();
    }

    fn proposal_ended(&self, failed: bool) {
        self.0.proposals_pending.dec();
        if failed {
            self.0.proposals_failed.inc();
        }
    }

    fn read_index_slow(&self) {
        self.0.slow_read_indexes.inc();
    }

    fn read_index_failed(&self) {
        self.0.read_indexes_failed.inc();
    }
}
