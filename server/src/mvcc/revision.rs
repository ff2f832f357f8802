//! Revisions and the row keys they are stored under. Not for wire messages, which carry only the main part.
//!
//! Facts: `reference/file-formats.md`, section 6 (etcd's 17-byte key, one byte more for a tombstone).

use bytes::Bytes;

/// Bytes of the row key of a put.
const KEY_LEN: usize = 17;
/// The byte between the two numbers of a row key.
const SEPARATOR: u8 = b'_';
/// The last byte of a tombstone's row key.
const TOMBSTONE: u8 = b't';

/// One change: `main` counts the write transactions of the store, `sub` the changes within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The transaction; what clients call the revision.
    pub main: i64,
    /// The change within the transaction, from 0.
    pub sub: i64,
}

impl Revision {
    /// Names one change.
    pub const fn new(main: i64, sub: i64) -> Revision {
        Revision { main, sub }
    }

    /// The 17 bytes that a put is stored under: big-endian main, `_`, big-endian sub.
    pub fn to_bytes(self) -> [u8; KEY_LEN] {
        let mut bytes = [0; KEY_LEN];
        bytes[..8].copy_from_slice(&self.main.to_be_bytes());
        bytes[8] = SEPARATOR;
        bytes[9..].copy_from_slice(&self.sub.to_be_bytes());
        bytes
    }

    /// Reads the 17 bytes of a compaction mark (`scheduledCompactRev`, `finishedCompactRev`).
    pub fn from_bytes(bytes: &[u8]) -> Option<Revision> {
        let key = RowKey::decode(bytes)?;
        (!key.is_tombstone).then_some(key.revision)
    }
}

/// The key of a row of the `key` keyspace: a revision and whether the row is a tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The change that the row records.
    pub revision: Revision,
    /// Whether that change was a delete.
    pub is_tombstone: bool,
}

impl RowKey {
    /// The bytes of the row's key: 17, or 18 for a tombstone.
    pub fn to_bytes(self) -> Bytes {
        let put = self.revision.to_bytes();
        if !self.is_tombstone {
            return Bytes::copy_from_slice(&put);
        }
        let mut bytes = [TOMBSTONE; KEY_LEN + 1];
        bytes[..KEY_LEN].copy_from_slice(&put);
        Bytes::copy_from_slice(&bytes)
    }

    /// Reads a row's key; `None` where the bytes are not of that form.
    pub fn decode(bytes: &[u8]) -> Option<RowKey> {
        let is_tombstone = match bytes.len() {
            KEY_LEN => false,
            len if len == KEY_LEN + 1 && bytes[KEY_LEN] == TOMBSTONE => true,
            _ => return None,
        };
        if bytes[8] != SEPARATOR {
            return None;
        }
        let main = i64::from_be_bytes(bytes[..8].try_into().ok()?);
        let sub = i64::from_be_bytes(bytes[9..KEY_LEN].try_into().ok()?);
        Some(RowKey { revision: Revision { main, sub }, is_tombstone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A put's key is 17 bytes and a tombstone's is the same with a `t`, as etcd writes them.
    #[test]
    fn row_keys_are_etcds() {
        let put = RowKey { revision: Revision::new(5, 2), is_tombstone: false };
        assert_eq!(&put.to_bytes()[..], b"\0\0\0\0\0\0\0\x05_\0\0\0\0\0\0\0\x02");
        let tombstone = RowKey { is_tombstone: true, ..put };
        assert_eq!(&tombstone.to_bytes()[..], b"\0\0\0\0\0\0\0\x05_\0\0\0\0\0\0\0\x02t");
        for key in [put, tombstone] {
            assert_eq!(RowKey::decode(&key.to_bytes()), Some(key));
        }
    }

    /// Bytes of another form are refused instead of being read as some revision.
    #[test]
    fn foreign_keys_are_refused() {
        for bytes in [&b""[..], b"scheduledCompactRev", &[0; 17], &[b'_'; 18], &[b'_'; 16]] {
            assert_eq!(RowKey::decode(bytes), None);
        }
    }
}
