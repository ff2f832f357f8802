//! The doors themselves: health checks, scrapes, and the memory of what comes in and goes out.

use super::builder::Builder;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Health checks, scrapes, and budgets of memory.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct DoorMetrics {
    pub health_successes: IntCounter,
    pub health_failures: IntCounter,
    pub check: IntGaugeVec,
    pub checks: IntCounterVec,
    pub scrapes: IntCounterVec,
    pub scrapes_in_flight: IntGauge,
    pub request_bytes: IntGauge,
    pub requests_refused: IntCounterVec,
    pub answer_bytes: IntGauge,
    pub answers_dropped: IntCounter,
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
            request_bytes: b.gauge(
                "quorate_request_bytes_in_flight",
                "Bytes of requests that are still coming and of large writes without an answer.",
            ),
            requests_refused: b.counters(
                "quorate_requests_refused_total",
                "Requests that found no room in memory (full) or stopped while others needed it (stalled).",
                &["reason"],
            ),
            answer_bytes: b.gauge(
                "quorate_answer_bytes_in_flight",
                "Bytes of answers that wait for their clients.",
            ),
            answers_dropped: b.counter(
                "quorate_answers_dropped_total",
                "Answers that nobody took while others needed their room.",
            ),
            scrapes_in_flight: b.gauge(
                "promhttp_metric_handler_requests_in_flight",
                "Scrapes that are being answered.",
            ),
        }
    }
}
