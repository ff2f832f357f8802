//! Keyspaces, atomic batches and the engine behind them; knows nothing of revisions, leases or raft.
//!
//! Reading order: [`Keyspace`], [`AppliedMark`], [`Batch`], [`Backend`], [`View`], then `layer` and `flusher` for what
//! lies between a write and the disk, [`engine`] for what an engine must do, `generation` and `rewrite` for how one
//! database takes the place of another.
//!
//! A crate of its own, so that `quoratectl` can read and defragment the state of a stopped member without the server.

mod append_log;
mod backend;
mod batch;
pub mod engine;
mod error;
mod fault_engine;
mod flusher;
mod generation;
mod image;
mod keyspace;
mod layer;
mod mark;
mod memory_engine;
mod options;
mod redb_engine;
mod rewrite;
mod sled_engine;
mod sled_item;
mod synced_log;
#[cfg(test)]
mod tests;
mod undo;
mod view;

pub use backend::{Backend, Sizes};
pub use batch::{AppliedMark, Batch, Row};
pub use engine::RowVisitor;
pub use error::{EngineError, StorageError};
pub use fault_engine::Faults;
pub use generation::engine_of;
pub use image::Image;
pub use keyspace::Keyspace;
pub use mark::PRIVATE_META_PREFIX;
pub use options::{BackendOptions, CommitObserver, EngineKind, SyncPolicy};
pub use rewrite::{DefragmentReport, Replacement};
pub use synced_log::{LogPlace, SyncedLog};
pub use view::View;
