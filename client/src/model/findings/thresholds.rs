//! The limits behind the findings, each with its origin.

use std::time::Duration;

/// The limits; [`Thresholds::default`] follows etcd's own advice.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// Entries a member may be behind the leader. Half of etcd's default distance between snapshots.
    pub lag_entries: u64,
    /// Share of the quota that earns a warning (etcd-diagnosis).
    pub quota_warning: f64,
    /// Share of the quota that is critical (etcd's alert rules).
    pub quota_critical: f64,
    /// Below this share in use a file is fragmented (etcd's alert rules).
    pub in_use_share: f64,
    /// Files smaller than this are never called fragmented, in bytes (etcd's alert rules).
    pub fragmentation_min_bytes: u64,
    /// Fsync p99 that etcd's FAQ still calls good.
    pub fsync_good: Duration,
    /// Fsync p99 that etcd's alert rules warn about.
    pub fsync_warning: Duration,
    /// Fsync p99 that etcd's alert rules call critical.
    pub fsync_critical: Duration,
    /// Engine commit p99 that etcd's FAQ still calls good.
    pub commit_good: Duration,
    /// Engine commit p99 that etcd's alert rules warn about.
    pub commit_warning: Duration,
    /// A linearizable read slower than this is reported: half of etcd's default election timeout.
    pub linearizable_read: Duration,
    /// Leader changes inside the window (etcd's alert rules: 4 in 15 minutes).
    pub leader_changes: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            lag_entries: 5_000,
            quota_warning: 0.80,
            quota_critical: 0.95,
            in_use_share: 0.5,
            fragmentation_min_bytes: 100 << 20,
            fsync_good: Duration::from_millis(10),
            fsync_warning: Duration::from_millis(500),
            fsync_critical: Duration::from_secs(1),
            commit_good: Duration::from_millis(25),
            commit_warning: Duration::from_millis(250),
            linearizable_read: Duration::from_millis(500),
            leader_changes: 4,
        }
    }
}
