//! What a member counts, under etcd's names. Rooms get handles and never look a name up on a hot path.
//!
//! Values that live elsewhere (sizes, indexes, leader) are written in just before a scrape, so they cost nothing in
//! between. Names, types, labels and buckets: `reference/etcd-api.md`, section 20; what is missing of it, and why:
//! `docs/metrics.md`.

mod builder;
mod disk;
mod door;
mod grpc;
mod kind;
mod lease;
mod network;
mod process;
mod server;
mod set;
mod store;
mod tls;
mod watch;

pub use disk::DiskMetrics;
pub use door::DoorMetrics;
pub use grpc::{ClientVersions, GrpcMetrics};
pub use kind::{KindTimes, RequestKind};
pub use lease::LeaseMetrics;
pub use network::{NetworkMetrics, SnapshotMetrics};
pub use server::ServerMetrics;
pub use set::{Metrics, catch_up};
pub use store::StoreMetrics;
pub use tls::TlsMetrics;
pub use watch::WatchMetrics;
