//! The server's suites against real processes: compared with real etcd, crashed, cut off, watched. One binary for all.
#![allow(missing_docs)]

mod compare;
mod etcdctl;
mod wire;
