//! The network: clients' bytes, and the traffic with each peer.

use super::builder::{Builder, Doubling, TRANSFER};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

/// Snapshots on the wire, in one direction.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The help texts below say what each one is.
pub struct SnapshotMetrics {
    pub successes: IntCounterVec,
    pub failures: IntCounterVec,
    pub in_flight: IntGaugeVec,
    pub times: HistogramVec,
}

impl SnapshotMetrics {
    fn new(b: &Builder<'_>, direction: &str, peer: &str) -> SnapshotMetrics {
        let name = |what: &str| format!("etcd_network_snapshot_{direction}_{what}");
        SnapshotMetrics {
            successes: b.counters(&name("success"), "Snapshots that arrived.", &[peer]),
            failures: b.counters(&name("failures"), "Snapshots that did not arrive.", &[peer]),
            in_flight: b.gauges(&name("inflights_total"), "Snapshots under way.", &[peer]),
            times: b.doubling(
                &name("total_duration_seconds"),
                "Times of snapshots on the wire.",
                &[peer],
                TRANSFER,
            ),
        }
    }
}

/// `etcd_network_*`.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The names are etcd's; the help texts below say what each one is.
pub struct NetworkMetrics {
    pub client_received_bytes: IntCounter,
    pub client_sent_bytes: IntCounter,
    pub known_peers: IntGaugeVec,
    pub active_peers: IntGaugeVec,
    pub disconnected_peers: IntCounterVec,
    pub peer_sent_bytes: IntCounterVec,
    pub peer_received_bytes: IntCounterVec,
    pub peer_sent_failures: IntCounterVec,
    pub peer_received_failures: IntCounterVec,
    pub peer_round_trip: HistogramVec,
    pub snapshot_send: SnapshotMetrics,
    pub snapshot_receive: SnapshotMetrics,
}

impl NetworkMetrics {
    pub(super) fn new(b: &Builder<'_>) -> NetworkMetrics {
        let peer = |name: &str, help: &str, label: &str| {
            b.counters(&format!("etcd_network_peer_{name}_total"), help, &[label])
        };
        let pair = ["Local", "Remote"];
        NetworkMetrics {
            client_received_bytes: b.counter(
                "etcd_network_client_grpc_received_bytes_total",
                "Bytes of clients' messages.",
            ),
            client_sent_bytes: b.counter(
                "etcd_network_client_grpc_sent_bytes_total",
                "Bytes of messages to clients.",
            ),
            known_peers: b.gauges("etcd_network_known_peers", "1 for a known member.", &pair),
            active_peers: b.gauges("etcd_network_active_peers", "1 while a peer answers.", &pair),
            disconnected_peers: b.counters(
                "etcd_network_disconnected_peers_total",
                "Times that a peer ceased to answer.",
                &pair,
            ),
            peer_sent_bytes: peer("sent_bytes", "Bytes to peers.", "To"),
            peer_received_bytes: peer("received_bytes", "Bytes from peers.", "From"),
            peer_sent_failures: peer("sent_failures", "Messages to peers that failed.", "To"),
            peer_received_failures: peer(
                "received_failures",
                "Streams from peers that broke.",
                "From",
            ),
            peer_round_trip: b.doubling(
                "etcd_network_peer_round_trip_time_seconds",
                "Round trips to peers.",
                &["To"],
                Doubling(0.0001, 16),
            ),
            snapshot_send: SnapshotMetrics::new(b, "send", "To"),
            snapshot_receive: SnapshotMetrics::new(b, "receive", "From"),
        }
    }
}
