//! When to take a backup and which to keep: pure functions of (policy, history, now). No clock, no store, no I/O.

mod retention;
mod schedule;

pub use retention::{Decision, KeptBackup, Reason, RetentionPolicy, plan_retention};
pub use schedule::{Due, Jitter, Schedule, next_due};
