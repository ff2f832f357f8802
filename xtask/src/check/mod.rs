//! `cargo xtask check`: the read-only button. Formatting, clippy and the house rules of `docs/ARCHITECTURE.md`.
//!
//! Every rule is a plain function over the files' text, shown by a test to catch a planted violation; the test
//! `this_tree_keeps_the_house_rules` runs them all, so `cargo test` alone already holds the house.

mod command;
mod confined;
mod door;
mod flag_page;
mod known;
mod layers;
mod manifests;
mod paper;
mod sizes;
mod source;
mod strip;
mod words;

pub use command::{Options, run};
pub use flag_page::{FlagLine, server_flags, write as write_flag_page};
