//! How rows lie in the one tree of the sled engine: keys, short values, and long values in chunks. Bytes only, no sled.
//!
//! The first byte of a key tells what it is:
//! ```text
//! 0x00 name                                     a fact of the engine
//! 1..=10 key                                    a row of that keyspace: 0x00 value, or 0x01 stamp n_chunks length
//! 0x80 + keyspace, key length, key, stamp, n    a chunk of a long value; the stamp is new for every value written
//! ```

use super::{EngineError, Keyspace};

/// Longest piece of a value in one sled item. With sled's segments of 512 KiB no page then reaches a quarter of one,
/// from where on sled would put it into a file of its own that it never syncs.
pub(super) const CHUNK_BYTES: usize = 4096;
/// First byte of the keys of chunks, to which the keyspace is added.
const CHUNK_PREFIX: u8 = 0x80;
const WHOLE: u8 = 0;
const CHUNKED: u8 = 1;

/// What an item says of its row.
pub(super) enum Item<'a> {
    Whole(&'a [u8]),
    Chunked { stamp: u64, n_chunks: u32, length: usize },
}

impl<'a> Item<'a> {
    /// Reads an item.
    pub(super) fn read(item: &'a [u8]) -> Result<Self, EngineError> {
        match item.split_first() {
            Some((&WHOLE, value)) => Some(Item::Whole(value)),
            Some((&CHUNKED, rest)) => Self::read_chunked(rest),
            Some(_) | None => None,
        }
        .ok_or_else(|| EngineError::Corrupt("an item of an unknown form".to_owned()))
    }

    /// An item that holds all of a short value.
    pub(super) fn whole(value: &[u8]) -> Vec<u8> {
        [&[WHOLE], value].concat()
    }

    /// An item that tells where the chunks of a long value are.
    pub(super) fn chunked(stamp: u64, n_chunks: u32, length: usize) -> Vec<u8> {
        let length = (length as u64).to_be_bytes();
        [&[CHUNKED][..], &stamp.to_be_bytes(), &n_chunks.to_be_bytes(), &length].concat()
    }

    fn read_chunked(rest: &[u8]) -> Option<Self> {
        let (stamp, rest) = rest.split_first_chunk::<8>()?;
        let (n_chunks, rest) = rest.split_first_chunk::<4>()?;
        let length = u64::from_be_bytes(rest.try_into().ok()?);
        Some(Item::Chunked {
            stamp: u64::from_be_bytes(*stamp),
            n_chunks: u32::from_be_bytes(*n_chunks),
            length: usize::try_from(length).ok()?,
        })
    }

    /// Length of the row's value, in bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Item::Whole(value) => value.len(),
            Item::Chunked { length, .. } => *length,
        }
    }
}

/// The key of a row's item.
pub(super) fn item_key(keyspace: Keyspace, key: &[u8]) -> Vec<u8> {
    [&[keyspace as u8], key].concat()
}

/// The key of a chunk of a long value.
pub(super) fn chunk_key(keyspace: Keyspace, key: &[u8], stamp: u64, number: u32) -> Vec<u8> {
    let prefix = CHUNK_PREFIX | keyspace as u8;
    // Eight bytes for the length: no key is that long, and none can be cut short.
    let length = (key.len() as u64).to_be_bytes();
    [&[prefix], &length[..], key, &stamp.to_be_bytes(), &number.to_be_bytes()].concat()
}
