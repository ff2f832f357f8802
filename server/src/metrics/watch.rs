//! Watches: how many, how far behind, and what handing out costs.

use super::builder::{Builder, DISK};
use prometheus::{Histogram, IntCounter, IntGauge};

/// Watch metrics.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct WatchMetrics {
    pub watchers: IntGauge,
    pub slow_watchers: IntGauge,
    pub streams: IntGauge,
    pub events: IntCounter,
    pub pending_events: IntGauge,
    pub control_send: Histogram,
    pub progress_send: Histogram,
    pub events_send: Histogram,
    pub event_send: Histogram,
}

impl WatchMetrics {
    pub(super) fn new(b: &Builder<'_>) -> WatchMetrics {
        let send = |name: &str, help: &str| {
            let name = format!("etcd_debugging_server_watch_send_loop_{name}_seconds");
            b.histogram(&name, help, DISK)
        };
        WatchMetrics {
            watchers: b.gauge("etcd_debugging_mvcc_watcher_total", "Watchers."),
            slow_watchers: b
                .gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that catch up."),
            streams: b.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams."),
            events: b.counter("etcd_debugging_mvcc_events_total", "Events sent to watchers."),
            pending_events: b
                .gauge("etcd_debugging_mvcc_pending_events_total", "Events that wait."),
            control_send: send("control_stream_duration", "Answers to requests of a stream."),
            progress_send: send("progress_duration", "Progress notices."),
            events_send: send("watch_stream_duration", "Messages with events."),
            event_send: send("watch_stream_duration_per_event", "Messages, by event in them."),
        }
    }
}
