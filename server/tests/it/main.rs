//! The server's suites against real processes: compared with real etcd, crashed, cut off, watched. One binary for all.
#![allow(missing_docs)]
// Helpers of tests may end a test as tests themselves may.
#![allow(clippy::unwrap_used)]

mod auth;
mod compare;
mod etcdctl;
mod http;
mod range_stream;
mod turns;
mod wire;
