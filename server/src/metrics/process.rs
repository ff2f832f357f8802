//! The process, as the operating system sees it.

use super::builder::Builder;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, IntGauge, Registry};

/// Descriptors, under etcd's own names.
#[derive(Clone, Debug)]
pub struct ProcessMetrics {
    /// Open descriptors.
    pub fd_used: IntGauge,
    /// Most descriptors.
    pub fd_limit: IntGauge,
    /// Most address space, in bytes.
    pub virtual_memory_max: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(b: &Builder<'_>, registry: &Registry) -> ProcessMetrics {
        let process = ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("process metrics are registered once");
        ProcessMetrics {
            fd_used: b.gauge("os_fd_used", "Open file descriptors."),
            fd_limit: b.gauge("os_fd_limit", "Limit of file descriptors."),
            virtual_memory_max: b
                .real_gauge("process_virtual_memory_max_bytes", "Most address space, in bytes."),
        }
    }
}
