//! What a member counts, under etcd's names; rooms get handles and never look a name up on a hot path.
//!
//! Values that live elsewhere (sizes, indexes, leader) are written in by the HTTP handler just before a scrape, so
//! they cost nothing in between. Source of names, types and buckets: `reference/etcd-api.md`, section 20.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, exponential_buckets,
};

/// All metrics of one member.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct Metrics {
    registry: Registry,
    pub has_leader: IntGauge,
    pub is_leader: IntGauge,
    pub is_learner: IntGauge,
    pub leader_changes: IntCounter,
    pub proposals_committed: IntGauge,
    pub proposals_applied: IntGauge,
    pub proposals_pending: IntGauge,
    pub proposals_failed: IntCounter,
    pub slow_apply: IntCounter,
    pub slow_read_indexes: IntCounter,
    pub read_indexes_failed: IntCounter,
    pub health_success: IntCounter,
    pub health_failures: IntCounter,
    pub quota_bytes: IntGauge,
    pub server_id: IntGaugeVec,
    pub server_version: IntGaugeVec,
    pub cluster_version: IntGaugeVec,
    pub wal_fsync: Histogram,
    pub wal_write_bytes: IntGauge,
    pub backend_commit: Histogram,
    pub backend_snapshot: Histogram,
    pub defrag: Histogram,
    pub defrag_inflight: IntGauge,
    pub db_total_bytes: IntGauge,
    pub db_in_use_bytes: IntGauge,
    pub put_total: IntCounter,
    pub delete_total: IntCounter,
    pub range_total: IntCounter,
    pub txn_total: IntCounter,
    pub keys_total: IntGauge,
    pub current_revision: IntGauge,
    pub compact_revision: IntGauge,
    pub watcher_total: IntGauge,
    pub slow_watcher_total: IntGauge,
    pub watch_stream_total: IntGauge,
    pub events_total: IntCounter,
    pub pending_events: IntGauge,
    pub auth_revision: IntGauge,
    pub lease_granted: IntCounter,
    pub lease_revoked: IntCounter,
    pub lease_renewed: IntCounter,
    pub lease_expired: IntCounter,
    pub alarms: IntGaugeVec,
    pub peer_sent_bytes: IntCounterVec,
    pub peer_received_bytes: IntCounterVec,
    pub peer_sent_failures: IntCounterVec,
    pub peer_round_trip: HistogramVec,
    pub client_received_bytes: IntCounter,
    pub client_sent_bytes: IntCounter,
    pub grpc_started: IntCounterVec,
    pub grpc_handled: IntCounterVec,
    pub grpc_received: IntCounterVec,
    pub grpc_sent: IntCounterVec,
    pub fd_used: IntGauge,
    pub fd_limit: IntGauge,
    pub tls_reloads: IntCounterVec,
    pub tls_handshakes_failed: IntCounterVec,
    pub tls_certificate_ends: IntGaugeVec,
}

/// Registers while building; a name that stands twice is a programming error that every start would show.
struct Builder<'a>(&'a Registry);

impl Builder<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect("metric names are unique");
        metric
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect("metric name is valid"))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help).expect("metric name is valid"))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(
            IntGaugeVec::new(Opts::new(name, help), labels).expect("metric name is valid"),
        )
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(
            IntCounterVec::new(Opts::new(name, help), labels).expect("metric name is valid"),
        )
    }

    /// Buckets: `count` from `start` seconds, doubling.
    fn histogram(&self, name: &str, help: &str, start: f64, count: usize) -> Histogram {
        let buckets = exponential_buckets(start, 2.0, count).expect("buckets are valid");
        let options = HistogramOpts::new(name, help).buckets(buckets);
        self.register(Histogram::with_opts(options).expect("metric name is valid"))
    }
}

impl Metrics {
    /// A fresh set with all values at zero.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let b = Builder(&registry);
        let round_trip = HistogramOpts::new(
            "etcd_network_peer_round_trip_time_seconds",
            "Round-trip time histogram between peers",
        )
        .buckets(exponential_buckets(0.0001, 2.0, 16).expect("buckets are valid"));
        let grpc = &["grpc_type", "grpc_service", "grpc_method"];
        let handled = &["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
        let metrics = Metrics {
            has_leader: b.gauge("etcd_server_has_leader", "Whether or not a leader exists."),
            is_leader: b.gauge("etcd_server_is_leader", "Whether or not this member leads."),
            is_learner: b
                .gauge("etcd_server_is_learner", "Whether or not this member is a learner."),
            leader_changes: b
                .counter("etcd_server_leader_changes_seen_total", "Leader changes seen."),
            proposals_committed: b.gauge(
                "etcd_server_proposals_committed_total",
                "Index of the last committed entry.",
            ),
            proposals_applied: b
                .gauge("etcd_server_proposals_applied_total", "Index of the last applied entry."),
            proposals_pending: b.gauge("etcd_server_proposals_pending", "Proposals that wait."),
            proposals_failed: b
                .counter("etcd_server_proposals_failed_total", "Proposals that failed."),
            slow_apply: b
                .counter("etcd_server_slow_apply_total", "Applies slower than the warning time."),
            slow_read_indexes: b
                .counter("etcd_server_slow_read_indexes_total", "Slow read indexes."),
            read_indexes_failed: b
                .counter("etcd_server_read_indexes_failed_total", "Failed read indexes."),
            health_success: b.counter("etcd_server_health_success", "Successful health checks."),
            health_failures: b.counter("etcd_server_health_failures", "Failed health checks."),
            quota_bytes: b.gauge("etcd_server_quota_backend_bytes", "Storage quota in bytes."),
            server_id: b.gauges("etcd_server_id", "Member id in hex, value 1.", &["server_id"]),
            server_version: b.gauges(
                "etcd_server_version",
                "Version, value 1.",
                &["server_version"],
            ),
            cluster_version: b.gauges(
                "etcd_cluster_version",
                "Version, value 1.",
                &["cluster_version"],
            ),
            wal_fsync: b.histogram(
                "etcd_disk_wal_fsync_duration_seconds",
                "Log sync times.",
                0.001,
                14,
            ),
            wal_write_bytes: b
                .gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log."),
            backend_commit: b.histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "Times of durable state commits.",
                0.001,
                14,
            ),
            backend_snapshot: b.histogram(
                "etcd_disk_backend_snapshot_duration_seconds",
                "Times of snapshots.",
                0.01,
                17,
            ),
            defrag: b.histogram(
                "etcd_disk_backend_defrag_duration_seconds",
                "Times of defragmentations.",
                0.1,
                13,
            ),
            defrag_inflight: b
                .gauge("etcd_disk_defrag_inflight", "1 while a defragmentation runs."),
            db_total_bytes: b.gauge("etcd_mvcc_db_total_size_in_bytes", "State size on disk."),
            db_in_use_bytes: b
                .gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "State size in use."),
            put_total: b.counter("etcd_mvcc_put_total", "Puts seen by this member."),
            delete_total: b.counter("etcd_mvcc_delete_total", "Deletes seen by this member."),
            range_total: b.counter("etcd_mvcc_range_total", "Ranges seen by this member."),
            txn_total: b.counter("etcd_mvcc_txn_total", "Transactions seen by this member."),
            keys_total: b.gauge("etcd_debugging_mvcc_keys_total", "Live keys."),
            current_revision: b.gauge("etcd_debugging_mvcc_current_revision", "Store revision."),
            compact_revision: b.gauge("etcd_debugging_mvcc_compact_revision", "Compact revision."),
            watcher_total: b.gauge("etcd_debugging_mvcc_watcher_total", "Watchers."),
            slow_watcher_total: b
                .gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are catching up."),
            watch_stream_total: b.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams."),
            events_total: b.counter("etcd_debugging_mvcc_events_total", "Events sent to watchers."),
            pending_events: b
                .gauge("etcd_debugging_mvcc_pending_events_total", "Events that wait to be sent."),
            auth_revision: b
                .gauge("etcd_debugging_auth_revision", "The current revision of auth store."),
            lease_granted: b.counter("etcd_debugging_lease_granted_total", "Leases granted."),
            lease_revoked: b.counter("etcd_debugging_lease_revoked_total", "Leases revoked."),
            lease_renewed: b
                .counter("etcd_debugging_lease_renewed_total", "Leases renewed by the leader."),
            lease_expired: b
                .counter("etcd_debugging_server_lease_expired_total", "Leases expired."),
            alarms: b.gauges(
                "etcd_debugging_server_alarms",
                "1 while an alarm is raised.",
                &["server_id", "alarm_type"],
            ),
            peer_sent_bytes: b.counters(
                "etcd_network_peer_sent_bytes_total",
                "Bytes to peers.",
                &["To"],
            ),
            peer_received_bytes: b.counters(
                "etcd_network_peer_received_bytes_total",
                "Bytes from peers.",
                &["From"],
            ),
            peer_sent_failures: b.counters(
                "etcd_network_peer_sent_failures_total",
                "Messages to peers that failed.",
                &["To"],
            ),
            peer_round_trip: b
                .register(HistogramVec::new(round_trip, &["To"]).expect("metric name is valid")),
            client_received_bytes: b
                .counter("etcd_network_client_grpc_received_bytes_total", "Bytes from clients."),
            client_sent_bytes: b
                .counter("etcd_network_client_grpc_sent_bytes_total", "Bytes to clients."),
            grpc_started: b.counters("grpc_server_started_total", "Calls started.", grpc),
            grpc_handled: b.counters("grpc_server_handled_total", "Calls completed.", handled),
            grpc_received: b.counters(
                "grpc_server_msg_received_total",
                "Stream messages received.",
                grpc,
            ),
            grpc_sent: b.counters("grpc_server_msg_sent_total", "Stream messages sent.", grpc),
            fd_used: b.gauge("os_fd_used", "Open file descriptors."),
            fd_limit: b.gauge("os_fd_limit", "Limit of file descriptors."),
            // Quorate's own: etcd counts none of this.
            tls_reloads: b.counters(
                "quorate_tls_reloads_total",
                "Changes of TLS files, by whether they could be used.",
                &["door", "result"],
            ),
            tls_handshakes_failed: b.counters(
                "quorate_tls_handshakes_failed_total",
                "Connections that were refused before their first request.",
                &["door"],
            ),
            tls_certificate_ends: b.gauges(
                "quorate_tls_certificate_not_after_seconds",
                "When the certificate that is shown ends, in seconds since 1970.",
                &["door"],
            ),
            registry: registry.clone(),
        };
        metrics.register_process();
        metrics
    }

    fn register_process(&self) {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.registry.register(Box::new(process)).expect("process metrics are registered once");
    }

    /// The Prometheus text of all metrics.
    ///
    /// # Errors
    /// A collector produced something that has no text form.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fresh member shows its gauges and histograms at once, under etcd's names.
    #[test]
    fn fresh_text_has_etcds_names() {
        let text = Metrics::new().text().unwrap();
        for name in [
            "etcd_server_has_leader 0",
            "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 0",
            "etcd_mvcc_db_total_size_in_bytes 0",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(name), "{name} is missing");
        }
    }
}
