//! What is counted of leases: grants, revocations, renewals and their times to live. Who counts is `tasks` and `api`.

use super::builder::{Builder, Doubling};
use prometheus::{Histogram, IntCounter};

/// Lease metrics.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct LeaseMetrics {
    pub granted: IntCounter,
    pub revoked: IntCounter,
    pub renewed: IntCounter,
    pub expired: IntCounter,
    pub ttl: Histogram,
}

impl LeaseMetrics {
    pub(super) fn new(b: &Builder<'_>) -> LeaseMetrics {
        LeaseMetrics {
            granted: b.counter("etcd_debugging_lease_granted_total", "Leases granted."),
            revoked: b.counter("etcd_debugging_lease_revoked_total", "Leases revoked."),
            renewed: b
                .counter("etcd_debugging_lease_renewed_total", "Leases renewed by the leader."),
            expired: b.counter("etcd_debugging_server_lease_expired_total", "Leases expired."),
            ttl: b.histogram(
                "etcd_debugging_lease_ttl_total",
                "TTLs of granted leases, in seconds.",
                Doubling(1.0, 24),
            ),
        }
    }
}
