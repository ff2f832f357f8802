//! The pages themselves: health checks and scrapes.

use super::builder::Builder;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Health checks and scrapes.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct DoorMetrics {
    pub health_successes: IntCounter,
    pub health_failures: IntCounter,
    pub check: IntGaugeVec,
    pub checks: IntCounterVec,
    pub scrapes: IntCounterVec,
    pub scrapes_in_flight: IntGauge,
}

impl DoorMetrics {
    pub(super) fn new(b: &Builder<'_>) -> DoorMetrics {
        let scrapes = b.counters(
            "promhttp_metric_handler_requests_total",
            "Scrapes, by HTTP status.",
            &["code"],
        );
        for code in ["200", "500", "503"] {
            scrapes.with_label_values(&[code]);
        }
        DoorMetrics {
            health_successes: b.counter("etcd_server_health_success", "Good health checks."),
            health_failures: b.counter("etcd_server_health_failures", "Bad health checks."),
            check: b.gauges(
                "etcd_server_healthcheck",
                "Last result of each check: 1 for good.",
                &["type", "name"],
            ),
            checks: b.counters(
                "etcd_server_healthchecks_total",
                "Checks by result.",
                &["type", "name", "status"],
            ),
            scrapes,
            scrapes_in_flight: b.gauge(
                "promhttp_metric_handler_requests_in_flight",
                "Scrapes that are being answered.",
            ),
        }
    }
}
