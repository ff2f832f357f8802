//! Taking over a data directory that etcd 3.4 to 3.7 wrote: its member goes on as Quorate. The original is kept beside it.
//!
//! ```text
//! member/                    what etcd left; read, never written to
//! member.takeover/           built from it, under a lock that keeps every etcd away
//! member.takeover/ORIGIN     written last: from here on a restart only finishes the moves
//! member        → member.etcd-<time>
//! member.takeover → member
//! ```
//! A log that is kept elsewhere (`--wal-dir`) is built and moved the same way, beside itself. Whatever ends the process
//! before `ORIGIN` is there has changed nothing; what it left is removed by the next start. Applying the entries that
//! etcd's database does not hold yet is the ordinary start's business, as after any crash.

mod build;
#[cfg(test)]
mod damage_tests;
mod journal;
mod lone_log;
mod places;
mod settle;
#[cfg(test)]
mod tests;

pub(super) use lone_log::refuse_lone_log;
pub(super) use places::{Places, STAGING, is_kept_original};
pub(super) use settle::settle;
