//! The server itself: leadership, proposals, reads, versions.

use super::builder::{Builder, DISK, FAST};
use super::kind::KindTimes;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// `etcd_server_*` and what belongs with it.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct ServerMetrics {
    pub has_leader: IntGauge,
    pub is_leader: IntGauge,
    pub is_learner: IntGauge,
    pub leader_changes: IntCounter,
    pub heartbeat_send_failures: IntCounter,
    pub proposals_committed: IntGauge,
    pub proposals_applied: IntGauge,
    pub proposals_pending: IntGauge,
    pub proposals_failed: IntCounter,
    pub slow_apply: IntCounter,
    pub slow_read_indexes: IntCounter,
    pub read_indexes_failed: IntCounter,
    pub snapshot_apply_in_progress: IntGauge,
    pub learner_promote_successes: IntCounter,
    pub learner_promote_failures: IntCounterVec,
    pub quota_bytes: IntGauge,
    pub server_id: IntGaugeVec,
    pub server_version: IntGaugeVec,
    pub cluster_version: IntGaugeVec,
    pub feature_enabled: IntGaugeVec,
    pub alarms: IntGaugeVec,
    pub auth_revision: IntGauge,
    pub apply_times: KindTimes,
    pub request_times: KindTimes,
    pub range_ok: Histogram,
    pub range_failed: HistogramVec,
}

impl ServerMetrics {
    /// Shows feature gates: name, stage, and whether it is on.
    pub fn show_features(&self, gates: impl Iterator<Item = (&'static str, &'static str, bool)>) {
        for (name, stage, is_on) in gates {
            self.feature_enabled.with_label_values(&[name, stage]).set(i64::from(is_on));
        }
    }

    pub(super) fn new(b: &Builder<'_>) -> ServerMetrics {
        let ranges = range_times(b);
        ServerMetrics {
            has_leader: b.gauge("etcd_server_has_leader", "Whether there is a leader."),
            is_leader: b.gauge("etcd_server_is_leader", "Whether this member leads."),
            is_learner: b.gauge("etcd_server_is_learner", "Whether this member is a learner."),
            leader_changes: b
                .counter("etcd_server_leader_changes_seen_total", "Leader changes seen."),
            heartbeat_send_failures: b.counter(
                "etcd_server_heartbeat_send_failures_total",
                "Heartbeats that this leader sent too late.",
            ),
            proposals_committed: b
                .gauge("etcd_server_proposals_committed_total", "Index of the last commit."),
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
            snapshot_apply_in_progress: b.gauge(
                "etcd_server_snapshot_apply_in_progress_total",
                "1 while a received snapshot is being taken over.",
            ),
            learner_promote_successes: b.counter(
                "etcd_server_learner_promote_successes",
                "Learners promoted while this member led.",
            ),
            learner_promote_failures: b.counters(
                "etcd_server_learner_promote_failures",
                "Promotions refused while this member led, by reason.",
                &["Reason"],
            ),
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
            feature_enabled: b.gauges(
                "etcd_server_feature_enabled",
                "Whether a feature gate is on.",
                &["name", "stage"],
            ),
            alarms: b.gauges(
                "etcd_debugging_server_alarms",
                "1 while an alarm is raised.",
                &["server_id", "alarm_type"],
            ),
            auth_revision: b.gauge("etcd_debugging_auth_revision", "Revision of users and roles."),
            apply_times: apply_times(b),
            request_times: request_times(b),
            range_ok: ranges.with_label_values(&["true"]),
            range_failed: ranges,
        }
    }
}

fn range_times(b: &Builder<'_>) -> HistogramVec {
    b.doubling("etcd_server_range_duration_seconds", "Times of ranges.", &["success"], FAST)
}

fn apply_times(b: &Builder<'_>) -> KindTimes {
    KindTimes::new(
        b,
        "etcd_server_apply_duration_seconds",
        "Times that entries took to be applied.",
        &["version", "op", "success"],
        &["v3"],
        FAST,
    )
}

fn request_times(b: &Builder<'_>) -> KindTimes {
    KindTimes::new(
        b,
        "etcd_server_request_duration_seconds",
        "Times of requests from their coming to their answer.",
        &["type", "success"],
        &[],
        DISK,
    )
}
