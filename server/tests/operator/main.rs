//! The member as its operator meets it: flags, bootstrap, self-defence, and every error that a client can see, beside
//! real etcd 3.7.1.
#![allow(missing_docs)]
// Helpers of tests may end a test as tests themselves may.
#![allow(clippy::unwrap_used)]

mod bootstrap;
mod compaction;
mod defence;
mod elections;
mod errors;
mod flags;
mod identity;
mod online;
mod probes;
mod stage;
