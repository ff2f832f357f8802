//! Keyspaces, atomic batches and the engine behind them; knows nothing of revisions, leases or raft.
//!
//! Reading order: [`Keyspace`], [`AppliedMark`], [`Batch`].

mod batch;
mod keyspace;

pub use batch::{AppliedMark, Batch, Row};
pub use keyspace::Keyspace;
