//! `cargo xtask soak`: long crash rounds on a whole cluster under writes. The tests do fifty; this does as many as asked.

mod command;
mod fault;

pub use command::{Options, run};
