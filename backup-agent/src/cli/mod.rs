//! The command line: a file per command, flags in `flags`, printing in `print`. No work is done here.

mod backup;
mod check;
mod command;
mod completion;
mod drill;
mod flags;
mod list;
mod print;
mod prune;
mod question;
mod recover;
mod restore;
mod run;
mod verify;

pub use command::{CommandLine, execute, init_logs};
