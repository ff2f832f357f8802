//! etcd's write-ahead log: one writer, streaming readers, repair of a torn tail.
//!
//! Format: `%016x-%016x.wal` segments of length-prefixed `walpb.Record` frames with a rolling CRC-32C
//! (`etcd:server/storage/wal`). Which entries are committed, and what they mean, is not decided here.

mod behind;
mod entry;
mod entry_reader;
mod filler;
mod frame;
#[cfg(test)]
mod hole_tests;
#[cfg(test)]
mod power_loss_tests;
mod reader;
mod repair;
mod replay;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use behind::Hole;
pub use entry::EntryParts;
pub use entry_reader::EntryReader;
pub use frame::{Position, Record};
pub use reader::{Reader, Tail};
pub use replay::{EntryRef, Repair, Replay};
pub use segment::{Segment, list_segments};
pub use writer::{Options, SEGMENT_BYTES, SEGMENTS_KEPT, Writer};
