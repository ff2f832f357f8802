//! Attacks on real processes: etcd's published vulnerabilities of 2026, ways around authentication, requests that are made
//! to cost more than they are worth, and crashes while rights change. Where an old etcd has the hole, it is shown there.
#![allow(missing_docs)]
// Helpers of tests may end a test as tests themselves may.
#![allow(clippy::unwrap_used)]

mod advisories;
mod costly;
mod crash;
mod stage;
mod uncalled;
