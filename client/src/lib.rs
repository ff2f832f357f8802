//! The async client of etcd and Quorate clusters, and the cluster model the tools share.
//!
//! ```text
//! Client ── kv() watch() lease() cluster() maintenance() auth() lock()    one typed sub-client per service
//!    │  at(endpoint) → a client pinned to one member
//!    └─ call      retry rules, token, deadline          (one place)
//!         └─ pool     endpoints, round robin on failure
//!              └─ dial    TCP, unix sockets, TLS
//! ```
//! Rules that hold for every call:
//! 1. A read may be sent again when a member was unavailable; a write whose outcome is unknown never is. A write is
//!    sent again only when it surely did not leave this machine.
//! 2. The server's text reaches the caller unchanged ([`ClientError::message`]).
//! 3. Every wait has a limit: dial timeout, request timeout, or the caller dropping the future.
//!
//! No terminal code, no printing, no files beyond the TLS files named in [`Config`].

mod auth;
mod call;
mod cluster;
mod config;
mod dial;
mod endpoint;
mod error;
mod http_get;
mod kv;
mod lease;
mod lock;
mod maintenance;
pub mod model;
pub mod plan;
mod pool;
mod snapshot;
mod tls;
mod watch;

pub use auth::AuthClient;
pub use call::Client;
pub use cluster::ClusterClient;
pub use config::{Config, Credentials, Patience, Tls};
pub use endpoint::Endpoint;
pub use error::{ClientError, Result};
pub use http_get::{HttpAnswer, http_get};
pub use kv::{KvClient, RangeStream, from_key_end, prefix_end};
pub use lease::{KeepAlive, LeaseClient};
pub use lock::{ElectionClient, LockClient, Observe};
pub use maintenance::MaintenanceClient;
pub use quorate_proto as proto;
pub use quorate_proto::errors::EtcdError;
pub use snapshot::SnapshotStream;
pub use tonic::Code;
pub use watch::{Progress, WatchClient, WatchOptions, Watcher};
