//! The steps of a recovery, a file per kind; which of them a request needs is said in `step`.

mod backup;
mod confirm;
mod copy;
mod fence;
mod fetch;
mod isolate;
mod join;
mod replay;
mod restore;
mod start;
mod step;
mod tail;

pub use step::{Step, build};
