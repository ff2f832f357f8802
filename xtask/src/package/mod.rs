//! `cargo xtask package`: the `.deb` and `.rpm` of the server and of the tools, from one table of contents.

mod command;
mod contents;
mod deb;
mod glibc;
mod pages;
mod redhat;
mod trial;

pub use command::{Options, run};
