//! One entry in, rows, outcome and events out. The only place that changes replicated state.
//!
//! It reads no clock, no randomness, no configuration and no network: what an entry needs of them, its proposer has
//! stamped into it. Order of effects: rows into one batch → batch written → memory published → outcomes answered.
//! An outcome is deterministic; a [`crate::raft::Fatal`] stops the member.

mod access;
mod applier;
mod auth;
mod image;
mod kv;
mod member;
mod observer;
mod outcome;
mod state;
mod txn;

pub use access::Judge;
pub use applier::Applier;
pub use image::{ImportError, Imported, import};
pub use observer::{ApplyObserver, NoApplyObserver};
pub use outcome::{Outcome, Reply};
pub use state::State;
pub use txn::read_only_txn;
