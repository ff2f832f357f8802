//! Calls of clients, by method and code, as grpc-go's interceptor counts them.

use super::builder::Builder;
use arc_swap::ArcSwap;
use prometheus::{HistogramVec, IntCounter, IntCounterVec};
use std::sync::{Arc, OnceLock};

/// Versions that get a series of their own; a client cannot make more by inventing some.
const VERSIONS_MAX: usize = 32;
/// Longest version that gets a series of its own, in bytes.
const VERSION_BYTES_MAX: usize = 32;

/// `grpc_server_*`. Labels: type, service, method, and code where there is one.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The help texts below say what each one is.
pub struct GrpcMetrics {
    pub started: IntCounterVec,
    pub handled: IntCounterVec,
    pub received: IntCounterVec,
    pub sent: IntCounterVec,
    /// Only with `--metrics=extensive`.
    pub times: Option<HistogramVec>,
    pub versions: ClientVersions,
}

impl GrpcMetrics {
    pub(super) fn new(b: &Builder<'_>, is_extensive: bool) -> GrpcMetrics {
        let call = ["grpc_type", "grpc_service", "grpc_method"];
        let coded = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
        let times = || {
            let buckets = prometheus::DEFAULT_BUCKETS.to_vec();
            b.histograms("grpc_server_handling_seconds", "Times of calls.", &call, buckets)
        };
        GrpcMetrics {
            started: b.counters("grpc_server_started_total", "Calls started.", &call),
            handled: b.counters("grpc_server_handled_total", "Calls completed.", &coded),
            received: b.counters("grpc_server_msg_received_total", "Messages received.", &call),
            sent: b.counters("grpc_server_msg_sent_total", "Messages sent.", &call),
            times: is_extensive.then(times),
            versions: ClientVersions::new(b),
        }
    }
}

/// `etcd_server_client_requests_total`: calls by the version that clients say they speak.
#[derive(Clone, Debug)]
pub struct ClientVersions {
    vec: IntCounterVec,
    unknown: Arc<[OnceLock<IntCounter>; 2]>,
    known: Arc<ArcSwap<Vec<Version>>>,
}

/// What a client said, and its counters by shape of call.
type Version = (Box<[u8]>, [IntCounter; 2]);

impl ClientVersions {
    fn new(b: &Builder<'_>) -> ClientVersions {
        let vec = b.counters(
            "etcd_server_client_requests_total",
            "Calls by shape and by the client's version.",
            &["type", "client_api_version"],
        );
        ClientVersions { vec, unknown: Arc::default(), known: Arc::default() }
    }

    /// Counts a call. `version` is what the client says, if it says anything.
    pub fn count(&self, is_stream: bool, version: Option<&[u8]>) {
        let shape = usize::from(is_stream);
        let Some(version) = version else { return self.count_unknown(shape) };
        match self.known.load().iter().find(|(name, _)| **name == *version) {
            Some((_, counters)) => counters[shape].inc(),
            None => self.count_new(shape, version),
        }
    }

    fn count_unknown(&self, shape: usize) {
        self.unknown[shape].get_or_init(|| self.counter(shape, "unknown")).inc();
    }

    fn counter(&self, shape: usize, version: &str) -> IntCounter {
        self.vec.with_label_values(&[["unary", "stream"][shape], version])
    }

    fn count_new(&self, shape: usize, version: &[u8]) {
        let text = std::str::from_utf8(version).unwrap_or_default();
        let is_full = self.known.load().len() >= VERSIONS_MAX;
        if is_full || text.is_empty() || text.len() > VERSION_BYTES_MAX {
            return self.count_unknown(shape);
        }
        let counters = [self.counter(0, text), self.counter(1, text)];
        counters[shape].inc();
        self.known.rcu(|known| {
            let mut known = Vec::clone(known);
            known.push((version.into(), counters.clone()));
            known
        });
    }
}
