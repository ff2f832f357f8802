//! Scheduled, verified snapshots in S3 or a directory, restore, drills, and the guided recovery.
//!
//! ```text
//! cli ── flags and printing, a file per command
//!  ├─ daemon      the scheduled agent
//!  ├─ take        survey → select → stream → verify → prove → seal → upload
//!  ├─ prune       plan and execute, by policy
//!  ├─ restore     a data directory from a snapshot; drill: boots one on loopback and compares
//!  ├─ recover     the guided recovery: inventory → plan → journaled steps
//!  ├─ policy      schedule and retention: pure functions of (policy, history, now)
//!  ├─ catalogue   what a store holds; manifest, backup_id: what it is made of
//!  └─ store       a directory, S3
//! ```
//! A backup counts only once its manifest is in the store. Nothing here speaks a wire protocol or reads a file format
//! by itself: `quorate-client` and `quorate-etcd-files` do.

pub mod backup_id;
pub mod catalogue;
pub mod cli;
pub mod daemon;
pub mod drill;
mod durable;
pub mod error;
mod file_hash;
mod loopback_server;
pub mod manifest;
pub mod policy;
pub mod prune;
pub mod recover;
pub mod restore;
mod spool;
pub mod store;
pub mod take;
