//! `cargo xtask test`: everything that CI runs, in the order that tells soonest what is wrong.

mod command;
mod needs;

pub use command::{Options, run};
