//! Other people's client libraries, as their users use them, against three members with TLS: each program asserts by
//! itself, and what it prints is compared with what it prints against real etcd 3.7.1. The programs know nothing of
//! Quorate; their sources lie beside this file, one folder per language, and `cargo xtask clients` makes them.
#![allow(missing_docs)]
// Helpers of tests may end a test as tests themselves may.
#![allow(clippy::unwrap_used)]

mod beside;
mod stage;

use beside::compare;
use testbed::Client;

/// Go's clientv3 3.7.1: its whole API, its helper packages, and the requests of a Kubernetes API server.
#[test]
fn go_3_7_1() {
    compare(Client::Go37);
}

/// The same program with the library that is still built into most of what runs today.
#[test]
fn go_3_5_0() {
    compare(Client::Go35);
}

/// Python's etcd3, which leaves to its user what other libraries do: to resume watches, to keep leases alive.
#[test]
fn python() {
    compare(Client::Python);
}

/// The crate etcd-client: every call that it offers, the services Lock and Election among them.
#[test]
fn rust() {
    compare(Client::Rust);
}
