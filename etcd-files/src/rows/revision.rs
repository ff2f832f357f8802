//! Keys of bucket `key`: be64 main, `_`, be64 sub, and `t` behind a tombstone.

use bytes::Bytes;
use prost::Message;
use quorate_proto::mvccpb;

/// Main and sub revision; main counts changes of the store, sub the operations within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Change of the store, from 1.
    pub main: i64,
    /// Operation within the change, from 0.
    pub sub: i64,
}

/// Key of a row in bucket `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevisionKey {
    /// When the row was written.
    pub revision: Revision,
    /// The row says that its key was deleted.
    pub is_tombstone: bool,
}

impl Revision {
    /// Bytes of an encoded revision.
    pub const BYTES: usize = 17;

    /// The 17 bytes, as in the compaction marks and in the keys of puts.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [b'_'; Self::BYTES];
        bytes[..8].copy_from_slice(&self.main.to_be_bytes());
        bytes[9..].copy_from_slice(&self.sub.to_be_bytes());
        bytes
    }

    /// Reads 17 bytes; `None` where they are no revision.
    pub fn decode(bytes: &[u8]) -> Option<Revision> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| bytes[at..at + 8].try_into().map(i64::from_be_bytes).ok();
        if bytes[8] != b'_' {
            return None;
        }
        Some(Revision { main: number(0)?, sub: number(9)? })
    }
}

impl RevisionKey {
    /// Reads the key of a row; `None` where it is none.
    pub fn decode(key: &[u8]) -> Option<RevisionKey> {
        let (revision, is_tombstone) = match key.split_last() {
            Some((b't', revision)) if revision.len() == Revision::BYTES => (revision, true),
            _ => (key, false),
        };
        Some(RevisionKey { revision: Revision::decode(revision)?, is_tombstone })
    }

    /// Appends the 17 or 18 bytes.
    pub fn encode_to(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.revision.encode());
        if self.is_tombstone {
            buffer.push(b't');
        }
    }
}

/// The user's key of a row of bucket `key`, without decoding the rest; `None` where the value is no `KeyValue`.
pub fn user_key(value: &Bytes) -> Option<Bytes> {
    // etcd writes the key first and short keys' lengths in one byte; anything else takes the long way.
    if let [0x0a, length @ 0..0x80, rest @ ..] = &value[..]
        && usize::from(*length) <= rest.len()
    {
        return Some(value.slice(2..2 + usize::from(*length)));
    }
    mvccpb::KeyValue::decode(value.clone()).ok().map(|pair| pair.key)
}
