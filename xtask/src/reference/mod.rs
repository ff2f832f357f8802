//! `cargo xtask reference`: real etcd, in three versions, for the tests and the benchmark to compare with.
//!
//! Each version is built or unpacked once into the cache and then linked into `target/reference/VERSION/`, so a
//! fresh clone on the same machine needs seconds. `QUORATE_REFERENCE_DIR` names another place to put them.

mod command;
mod obtain;
mod place;

pub use command::{Options, ensure, run};
pub use obtain::{Version, go_build};
pub use place::{home as folder, replace};
