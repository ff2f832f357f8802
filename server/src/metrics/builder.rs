//! Makes metrics and registers them on the way. A name that stands twice is a defect that every start would show.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// Buckets of a histogram: `count` of them from `start`, doubling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubling(pub f64, pub usize);

impl Doubling {
    fn buckets(self) -> Vec<f64> {
        exponential_buckets(self.0, 2.0, self.1).expect("buckets are valid")
    }
}

/// From a tenth of a millisecond: work in memory.
pub(super) const FAST: Doubling = Doubling(0.0001, 20);
/// From a millisecond: one look at the disk or the network.
pub(super) const DISK: Doubling = Doubling(0.001, 14);
/// From a tenth of a second: whole snapshots.
pub(super) const TRANSFER: Doubling = Doubling(0.1, 10);

/// Where metrics are registered.
pub(super) struct Builder<'a>(pub &'a Registry);

impl Builder<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect("metric names are unique");
        metric
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect("metric name is valid"))
    }

    pub(super) fn real_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help).expect("metric name is valid"))
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help).expect("metric name is valid"))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let options = Opts::new(name, help);
        self.register(IntGaugeVec::new(options, labels).expect("metric name is valid"))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let options = Opts::new(name, help);
        self.register(IntCounterVec::new(options, labels).expect("metric name is valid"))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: Doubling) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.buckets());
        self.register(Histogram::with_opts(options).expect("metric name is valid"))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: Vec<f64>,
    ) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets);
        self.register(HistogramVec::new(options, labels).expect("metric name is valid"))
    }

    pub(super) fn doubling(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: Doubling,
    ) -> HistogramVec {
        self.histograms(name, help, labels, buckets.buckets())
    }
}
