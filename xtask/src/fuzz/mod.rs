//! `cargo xtask fuzz`: the coverage-guided fuzzers over the readers of etcd's files. What they check is in `fuzz/`.

mod command;

pub use command::{Options, run};
