//! `cargo xtask bench`: the same load on Quorate and on real etcd 3.7.1 in turn, and on an echo server that shows
//! what the RPC layer alone costs. Rates tell little where client and servers share two cores; the server's CPU time
//! per operation is the figure to steer by.

mod case;
mod command;
mod drive;
mod fanout;
mod floor;
mod histogram;
mod operation;
mod report;

pub use command::{Options, run};
pub use floor::{EchoOptions, serve as serve_echo};
