//! A snapshot while it streams: chunks as they come, the hash at the end checked on the way, memory bounded by one
//! chunk. Where the bytes go is the caller's business.
//!
//! The stream is a bbolt file followed by its 32-byte SHA-256 (`reference/file-formats.md`). Whether the hash came
//! is known only at the end, so the last 32 bytes seen are always held back from hashing.

use crate::error::{ClientError, Result};
use bytes::Bytes;
use quorate_proto::etcdserverpb as pb;
use sha2::{Digest, Sha256};
use tonic::Streaming;

/// Length of the hash at the end.
const HASH_BYTES: usize = 32;

/// A database file is a whole number of these; so a complete snapshot has `HASH_BYTES` more.
const SECTOR_BYTES: u64 = 512;

/// See the file's header.
pub struct SnapshotStream {
    stream: Streaming<pb::SnapshotResponse>,
    endpoint: String,
    check: RunningCheck,
    version: String,
    remaining: u64,
    is_done: bool,
}

impl SnapshotStream {
    pub(crate) fn new(stream: Streaming<pb::SnapshotResponse>, endpoint: String) -> Self {
        let check = RunningCheck::default();
        let version = String::new();
        SnapshotStream { stream, endpoint, check, version, remaining: 0, is_done: false }
    }

    /// The next bytes of the file, the hash at its end included; `None` once all have come and the hash was right.
    ///
    /// # Errors
    /// The connection broke, the stream was cut short, or the hash is wrong: what was received must not be used.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.is_done {
            let message = self.stream.message().await;
            let message =
                message.map_err(|status| ClientError::from_status(&self.endpoint, status))?;
            let Some(message) = message else {
                self.is_done = true;
                self.check.finish()?;
                break;
            };
            if !message.version.is_empty() {
                self.version = message.version;
            }
            self.remaining = message.remaining_bytes;
            if !message.blob.is_empty() {
                self.check.update(&message.blob);
                return Ok(Some(message.blob));
            }
        }
        Ok(None)
    }

    /// Storage version of the server, from the first message on; empty from servers before 3.6.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.check.received
    }

    /// Bytes of the database still to come, as the server said last.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// SHA-256 of the database, hex, once the stream has ended well.
    pub fn sha256(&self) -> Option<&str> {
        self.check.verified.as_deref()
    }
}

/// Hashes everything but the last 32 bytes seen.
#[derive(Default)]
struct RunningCheck {
    hasher: Sha256,
    tail: Vec<u8>,
    received: u64,
    verified: Option<String>,
}

impl RunningCheck {
    fn update(&mut self, chunk: &[u8]) {
        self.received += chunk.len() as u64;
        if chunk.len() >= HASH_BYTES {
            let (body, tail) = chunk.split_at(chunk.len() - HASH_BYTES);
            self.hasher.update(&self.tail);
            self.hasher.update(body);
            self.tail.clear();
            self.tail.extend_from_slice(tail);
            return;
        }
        self.tail.extend_from_slice(chunk);
        let over = self.tail.len().saturating_sub(HASH_BYTES);
        self.hasher.update(&self.tail[..over]);
        self.tail.drain(..over);
    }

    fn finish(&mut self) -> Result<()> {
        if self.received % SECTOR_BYTES != HASH_BYTES as u64 {
            return Err(ClientError::SnapshotShort { received: self.received });
        }
        let got = hex(&std::mem::take(&mut self.hasher).finalize());
        let expected = hex(&self.tail);
        if got != expected {
            return Err(ClientError::SnapshotDamaged { expected, got });
        }
        self.verified = Some(got);
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut file: Vec<u8> = (0..2048u32).map(|n| (n % 251) as u8).collect();
        let hash = Sha256::digest(&file);
        file.extend_from_slice(&hash);
        file
    }

    fn check(file: &[u8], chunk: usize) -> Result<()> {
        let mut check = RunningCheck::default();
        file.chunks(chunk).for_each(|chunk| check.update(chunk));
        check.finish()
    }

    /// However the stream is cut, a whole file passes.
    #[test]
    fn any_chunking_passes() {
        for chunk in [1, 7, 31, 32, 33, 500, 4096] {
            check(&file(), chunk).unwrap();
        }
    }

    /// One flipped bit is found.
    #[test]
    fn flipped_bit_is_found() {
        let mut file = file();
        file[1000] ^= 1;
        assert!(matches!(check(&file, 100), Err(ClientError::SnapshotDamaged { .. })));
    }

    /// A stream without its end is called short.
    #[test]
    fn short_stream_is_found() {
        let file = file();
        for length in [0, 100, 2048, 2079] {
            let result = check(&file[..length], 64);
            assert!(matches!(result, Err(ClientError::SnapshotShort { .. })), "{length}");
        }
    }
}
