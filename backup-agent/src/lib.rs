//! Scheduled, verified snapshots in S3 or a directory, restore, drills, and the guided recovery.
//!
//! A backup is taken by `take` (`select → stream → verify → prove → seal → upload → manifest`), kept by `policy`, found by
//! `catalogue`. A backup counts only once its manifest is in the store. Nothing here speaks a wire protocol or reads
//! a file format by itself: `quorate-client` and `quorate-etcd-files` do.

pub mod backup_id;
pub mod catalogue;
mod durable;
pub mod error;
pub mod manifest;
pub mod policy;
mod spool;
pub mod store;
