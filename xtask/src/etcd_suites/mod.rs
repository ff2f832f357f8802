//! `cargo xtask etcd-suites`: etcd's own black-box tests, from etcd's source, against Quorate's programs. Nothing of
//! etcd's source is kept here.

mod command;
mod outcome;

pub use command::{Options, run};
