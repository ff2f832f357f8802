//! `cargo xtask demo`: the whole product on one machine with one command, and gone without a trace afterwards.
//! With a terminal it ends in the dashboard; with `--headless` it does the acts itself and checks each.

mod acts;
mod command;
mod object_store;
mod stage;

pub use command::{Options, run};
