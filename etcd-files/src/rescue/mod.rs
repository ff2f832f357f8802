//! Saves the data of a dead member as a snapshot file: its database, and on top of it the log entries that had not
//! reached it, applied here by etcd's rules. No server of any kind is needed, and the directory is only read.
//!
//! Membership is not carried over: a snapshot is restored into a new cluster.

mod apply;
mod auth;
mod describe;
mod permission;
mod state;
mod store;
mod txn;
mod write;

pub use describe::{KeyRange, affected_keys};
pub use write::{Rescued, rescue};
