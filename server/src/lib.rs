//! Quorate's server: a replicated key-value store that speaks etcd v3.7.1.
//!
//! The rooms and the direction of their imports are drawn in `docs/ARCHITECTURE.md`; a test in `xtask` holds them.

pub mod alarm;
pub mod api;
pub mod apply;
pub mod auth;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod lease;
pub mod logging;
pub mod metrics;
pub mod mvcc;
pub mod node;
pub mod raft;
/// The state on disk: a crate of its own, so that `quoratectl` can read a stopped member.
pub use quorate_storage as storage;
pub mod tasks;
pub mod tls;
pub mod types;
