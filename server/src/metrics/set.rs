//! All metrics of one member, and their text.

use super::builder::Builder;
use super::process::ProcessMetrics;
use super::{
    DiskMetrics, DoorMetrics, GrpcMetrics, LeaseMetrics, NetworkMetrics, ServerMetrics,
    StoreMetrics, TlsMetrics, WatchMetrics,
};
use prometheus::{IntCounter, Registry};

/// All metrics of one member. Clones share the values.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Each is the group of its name.
pub struct Metrics {
    registry: Registry,
    pub server: ServerMetrics,
    pub disk: DiskMetrics,
    pub store: StoreMetrics,
    pub watch: WatchMetrics,
    pub lease: LeaseMetrics,
    pub network: NetworkMetrics,
    pub grpc: GrpcMetrics,
    pub door: DoorMetrics,
    pub tls: TlsMetrics,
    pub process: ProcessMetrics,
}

impl Metrics {
    /// A fresh set with all values at zero. `is_extensive` is `--metrics=extensive`.
    pub fn new(is_extensive: bool) -> Metrics {
        let registry = Registry::new();
        let b = Builder(&registry);
        Metrics {
            server: ServerMetrics::new(&b),
            disk: DiskMetrics::new(&b),
            store: StoreMetrics::new(&b),
            watch: WatchMetrics::new(&b),
            lease: LeaseMetrics::new(&b),
            network: NetworkMetrics::new(&b),
            grpc: GrpcMetrics::new(&b, is_extensive),
            door: DoorMetrics::new(&b),
            tls: TlsMetrics::new(&b),
            process: ProcessMetrics::new(&b, &registry),
            registry,
        }
    }

    /// The Prometheus text of all metrics.
    ///
    /// # Errors
    /// A collector produced something that has no text form.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Brings a counter up to a total that is kept elsewhere.
pub fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RequestKind;
    use std::time::Duration;

    /// A fresh member shows its gauges and histograms at once, under etcd's names.
    #[test]
    fn fresh_text_has_etcds_names() {
        let text = Metrics::new(false).text().unwrap();
        for name in [
            "etcd_server_has_leader 0",
            "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 0",
            "etcd_mvcc_db_total_size_in_bytes 0",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(name), "{name} is missing");
        }
        assert!(!text.contains("grpc_server_handling_seconds"));
    }

    /// Times are kept by kind and success; kinds that never came have no series.
    #[test]
    fn times_are_kept_by_kind() {
        let metrics = Metrics::new(false);
        let times = &metrics.server.apply_times;
        times.observe(RequestKind::Put, true, Duration::from_micros(1));
        times.observe(RequestKind::Put, true, Duration::from_micros(1));
        let text = metrics.text().unwrap();
        let line =
            r#"etcd_server_apply_duration_seconds_count{op="Put",success="true",version="v3"} 2"#;
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("op=\"Txn\""));
    }

    /// Clients that invent versions make no more series than a few.
    #[test]
    fn invented_versions_are_one() {
        let metrics = Metrics::new(false);
        for n in 0..1000 {
            metrics.grpc.versions.count(n % 2 == 0, Some(format!("9.{n}").as_bytes()));
        }
        metrics.grpc.versions.count(false, None);
        let text = metrics.text().unwrap();
        let n = text.lines().filter(|line| line.starts_with("etcd_server_client_requests")).count();
        assert_eq!(n, 2 * 32 + 2);
    }
}
