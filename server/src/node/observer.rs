//! What raft, apply and peers measure, written into the metrics. Decides nothing.

use crate::apply::{ApplyObserver, Outcome, Reply};
use crate::metrics::{Metrics, RequestKind};
use crate::raft::Observer;
use crate::raft::grpc::HearRoundTrip;
use crate::types::MemberId;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::InternalRaftRequest;
use std::time::{Duration, Instant};

/// Log syncs above this are warned of, as etcd does.
const SLOW_SYNC: Duration = Duration::from_secs(1);

/// Counts for raft.
pub(super) struct MetricsObserver {
    pub(super) metrics: Metrics,
    /// `--heartbeat-interval`.
    pub(super) heartbeat: Duration,
}

impl Observer for MetricsObserver {
    fn wal_synced(&self, took: Duration) {
        self.metrics.disk.wal_fsync.observe(took.as_secs_f64());
        if took > SLOW_SYNC {
            tracing::warn!(took_ms = took.as_millis() as u64, "slow fdatasync");
        }
    }

    fn wal_written(&self, bytes: usize, took: Duration) {
        self.metrics.disk.wal_write.observe(took.as_secs_f64());
        self.metrics.disk.wal_write_bytes.add(bytes as i64);
    }

    fn proposal_started(&self) {
        self.metrics.server.proposals_pending.inc();
    }

    fn proposal_ended(&self, failed: bool) {
        self.metrics.server.proposals_pending.dec();
        if failed {
            self.metrics.server.proposals_failed.inc();
        }
    }

    fn read_index_slow(&self) {
        self.metrics.server.slow_read_indexes.inc();
    }

    fn read_index_failed(&self) {
        self.metrics.server.read_indexes_failed.inc();
    }

    fn heartbeat_sent(&self, since_last: Duration) {
        // etcd's measure of a leader that is overloaded.
        if since_last > 2 * self.heartbeat {
            self.metrics.server.heartbeat_send_failures.inc();
        }
    }

    fn snapshot_sending(&self, to: MemberId) {
        let snapshots = &self.metrics.network.snapshot_send;
        snapshots.in_flight.with_label_values(&[hex(to)]).inc();
    }

    fn snapshot_sent(&self, to: MemberId, took: Duration, failed: bool) {
        let snapshots = &self.metrics.network.snapshot_send;
        snapshots.in_flight.with_label_values(&[hex(to)]).dec();
        if failed {
            return snapshots.failures.with_label_values(&[hex(to)]).inc();
        }
        snapshots.successes.with_label_values(&[hex(to)]).inc();
        snapshots.times.with_label_values(&[hex(to)]).observe(took.as_secs_f64());
    }

    fn snapshot_receiving(&self, from: MemberId) {
        let snapshots = &self.metrics.network.snapshot_receive;
        snapshots.in_flight.with_label_values(&[hex(from)]).inc();
    }

    fn snapshot_saved(&self, took: Duration, sync: Duration) {
        self.metrics.disk.snapshot_save.observe(took.as_secs_f64());
        self.metrics.disk.snapshot_fsync.observe(sync.as_secs_f64());
    }

    fn snapshot_received(&self, from: MemberId, took: Duration, failed: bool) {
        let snapshots = &self.metrics.network.snapshot_receive;
        snapshots.in_flight.with_label_values(&[hex(from)]).dec();
        if failed {
            return snapshots.failures.with_label_values(&[hex(from)]).inc();
        }
        snapshots.successes.with_label_values(&[hex(from)]).inc();
        snapshots.times.with_label_values(&[hex(from)]).observe(took.as_secs_f64());
    }
}

/// A member as labels name it.
fn hex(id: MemberId) -> String {
    format!("{id:x}")
}

/// Round trips to peers, which are few enough for a label to be looked up.
pub(super) fn round_trips(metrics: &Metrics) -> HearRoundTrip {
    let times = metrics.network.peer_round_trip.clone();
    Box::new(move |peer, took| {
        times.with_label_values(&[hex(peer)]).observe(took.as_secs_f64());
    })
}

/// Counts for apply, with the clock that apply itself may not read.
pub(super) struct ApplyTimes {
    metrics: Metrics,
    /// `--warning-apply-duration`.
    warning: Duration,
    started: Instant,
}

impl ApplyTimes {
    pub(super) fn new(metrics: Metrics, warning: Duration) -> ApplyTimes {
        ApplyTimes { metrics, warning, started: Instant::now() }
    }

    fn count_leases(&self, kind: RequestKind, outcome: &Outcome) {
        match (kind, outcome) {
            (_, Ok(Reply::LeaseGrant { ttl, .. })) => {
                self.metrics.lease.granted.inc();
                self.metrics.lease.ttl.observe(*ttl as f64);
            }
            (RequestKind::LeaseRevoke, Ok(_)) => self.metrics.lease.revoked.inc(),
            _ => {}
        }
    }
}

impl ApplyObserver for ApplyTimes {
    fn begins(&mut self) {
        self.started = Instant::now();
    }

    fn applied(&mut self, request: &InternalRaftRequest, outcome: &Outcome) {
        let took = self.started.elapsed();
        let kind = RequestKind::of(request);
        // To be told that a revision is compacted is an answer like any other, as in etcd.
        let is_success = matches!(outcome, Ok(_) | Err(EtcdError::Compacted));
        self.metrics.server.apply_times.observe(kind, is_success, took);
        self.count_leases(kind, outcome);
        if took > self.warning && !self.warning.is_zero() {
            self.metrics.server.slow_apply.inc();
            // What the request says stays out of the log: it may be a password.
            tracing::warn!(
                took = ?took,
                expected_duration = ?self.warning,
                request = kind.name(),
                "apply request took too long"
            );
        }
    }

    fn installing(&mut self, is_under_way: bool) {
        let gauge = &self.metrics.server.snapshot_apply_in_progress;
        if is_under_way { gauge.inc() } else { gauge.dec() }
    }
}
