//! The scheduled agent: waits, takes a backup, prunes, tells how it goes; until it is told to stop.

mod notify;
mod scheduler;
mod status_file;

pub use notify::Notifier;
pub use scheduler::{Daemon, DaemonOptions, Outcome};
pub use status_file::{DaemonState, Status, StatusFile};
