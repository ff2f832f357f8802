//! The key-value state: revisions, the index from keys to revisions, reads at any uncompacted revision, writes,
//! compaction, hashes and watches. It imports `storage` and nothing of the rooms beside it.
//!
//! Reading order: [`KeyRange`], `key_index` and `index` for the history in memory, [`Store`] and
//! [`ReadView`] for reading, [`Writer`] for the protocol of writing, [`Compaction`], `hash`, then [`watch`].

mod change;
mod compact_hash;
mod compaction;
mod counters;
mod error;
mod hash;
mod index;
mod key_index;
mod key_range;
mod open;
mod pending;
mod range_stream;
mod read_view;
mod rows;
mod store;
pub mod watch;
mod writer;

pub use change::{Change, ChangeKind, Changes};
pub use compaction::{Compaction, Progress};
pub use counters::{Counter, Counters, Gauge};
pub use error::MvccError;
pub use key_range::KeyRange;
pub use open::Opened;
pub use range_stream::{RangeChunk, RangeEnd, RangeStream};
pub use read_view::{RangeResult, ReadView};
pub use store::{FIRST_REVISION, NEVER_COMPACTED, Store};
pub use writer::{Published, WriteTxn, Writer};

use quorate_etcd_files::rows::{Revision, RevisionKey};

#[cfg(test)]
mod tests;
