//! TLS. Quorate's own names: etcd counts none of this.

use super::builder::Builder;
use prometheus::{IntCounterVec, IntGaugeVec};

/// `quorate_tls_*`.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The help texts below say what each one is.
pub struct TlsMetrics {
    pub reloads: IntCounterVec,
    pub handshakes_failed: IntCounterVec,
    pub certificate_ends: IntGaugeVec,
}

impl TlsMetrics {
    pub(super) fn new(b: &Builder<'_>) -> TlsMetrics {
        TlsMetrics {
            reloads: b.counters(
                "quorate_tls_reloads_total",
                "Changes of TLS files, by whether they could be used.",
                &["door", "result"],
            ),
            handshakes_failed: b.counters(
                "quorate_tls_handshakes_failed_total",
                "Connections that were refused before their first request.",
                &["door"],
            ),
            certificate_ends: b.gauges(
                "quorate_tls_certificate_not_after_seconds",
                "When the certificate that is shown ends, in seconds since 1970.",
                &["door"],
            ),
        }
    }
}
