//! Looks behind the place where a log seems to end, for records that no crash leaves there. What to do about them is the
//! caller's business; a log that ends for good has nothing but zeros there.
//!
//! A power loss loses sectors of what no sync covered, in any order, and a torn tail is cut off for that. A sector that was
//! lost later, of records that were synced and acknowledged, looks the same from before. From behind it does not, because of
//! how both writers of such logs go about it, etcd's `wal.Save` and this server's log writer:
//!
//! * Records come in batches: any number of entries, then at most one hard state, as the last record.
//! * A batch with an entry in it is synced before anything of the next one is written. One with nothing but a hard state
//!   (a commit index that has moved on) is not.
//!
//! The commit index alone proves nothing: a follower hears of it together with the entries, a leader may have it from the
//! others before its own sync, and etcd up to 3.5 commits at once where it is alone; the hard state then stands in the same
//! batch as the entries it covers. But it is the end of that batch. So of these records, in this order, behind a tear,
//!
//! 1. an entry, whole or the torn record itself,
//! 2. the first hard state behind it, with which its batch has ended if not before,
//! 3. any record at all, which is of a later batch,
//!
//! the third was written after a sync that covered the first, and the tear with it: the tear is damage. Whatever has less
//! behind it may be a crash's and is left to be repaired, so that a tear in the last batch or two stays undecided.
//!
//! Whether a record is whole is judged by the one before it, whose stored checksum it goes on from; the first one found
//! behind a tear is judged by its successor alone. Records count only in one unbroken chain, so that remains of an older tail
//! between them are never taken for their successors. With `--unsafe-no-fsync` a power loss may leave such a log too, and
//! refusing it is right: acknowledged writes are gone.

use bytes::Bytes;

use super::frame::{HEADER, Kind, split_length};
use super::reader::{CHUNK, Reader};
use crate::error::{Error, Result};
use std::path::PathBuf;

/// Frames begin at multiples of this.
const ALIGNMENT: u64 = 8;
/// Bytes that hold the length, the kind, the checksum and the length of the data of any record.
const HEAD_MAX: u64 = HEADER as u64 + 24;

static ZEROS: [u8; 4096] = [0; 4096];

/// A place in a log where records that had been synced are lost: whole ones stand behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The segment.
    pub path: PathBuf,
    /// Offset of the first record that cannot be read.
    pub offset: u64,
    /// Offset of the record behind it that was written after the lost ones had been synced.
    pub proof: u64,
}

impl Hole {
    /// The hole as damage of the file.
    pub fn error(&self) -> Error {
        let what = format!(
            "the record there cannot be read, and it was not torn by a crash: the whole record at offset {} was written after \
             this one had been synced. Acknowledged writes from here on are lost on this disk",
            self.proof
        );
        Error::damaged(&self.path, self.offset, what)
    }
}

/// A frame that looks whole; its checksum is not judged yet.
struct Seen {
    kind: u8,
    crc: u32,
    data: Bytes,
    frame_len: u64,
}

/// How far the proof of a hole has come.
#[derive(Clone, Copy, Default)]
struct Proof {
    has_entry: bool,
    is_batch_over: bool,
}

impl Reader {
    /// The offset of a record at or behind `from` that proves that what stands before `from` was synced once.
    /// `loses_entry` says that an entry is known to be lost there.
    pub(super) fn find_proof(&mut self, from: u64, loses_entry: bool) -> Result<Option<u64>> {
        let mut at = from.next_multiple_of(ALIGNMENT);
        loop {
            let chunk = self.read(at, CHUNK)?;
            if chunk.len() < HEADER {
                return Ok(None);
            }
            let mut next = at + chunk.len() as u64 / ALIGNMENT * ALIGNMENT;
            if is_zero(&chunk) {
                at = next;
                continue;
            }
            for (word, here) in chunk.chunks_exact(HEADER).zip((at..).step_by(HEADER)) {
                if !is_length(word) {
                    continue;
                }
                let (end, proof) = self.follow(here, loses_entry)?;
                if proof.is_some() {
                    return Ok(proof);
                }
                if end > here + ALIGNMENT {
                    next = end;
                    break;
                }
            }
            at = next;
        }
    }

    /// Follows the chain that begins at `start`: where it ends, and the record that proves a hole before it.
    fn follow(&mut self, start: u64, loses_entry: bool) -> Result<(u64, Option<u64>)> {
        let Some(first) = self.seen_at(start)? else { return Ok((start + ALIGNMENT, None)) };
        let mut proof = Proof { has_entry: loses_entry, is_batch_over: false };
        proof.take(first.kind);
        let (mut crc, mut at, mut end) = (first.crc, start + first.frame_len, start + ALIGNMENT);
        while let Some(seen) = self.seen_at(at)? {
            if seen.crc != crc32c::crc32c_append(crc, &seen.data) {
                break;
            }
            // A segment with another behind it was synced as a whole.
            if proof.is_batch_over || !self.is_last() {
                return Ok((at, Some(at)));
            }
            proof.take(seen.kind);
            crc = seen.crc;
            at += seen.frame_len;
            end = at;
        }
        Ok((end, None))
    }

    /// The frame at `at`, if the bytes there can be one.
    fn seen_at(&mut self, at: u64) -> Result<Option<Seen>> {
        let head = self.read(at, HEAD_MAX)?;
        let Some(parsed) = parse(&head) else { return Ok(None) };
        let body_len = parsed.frame_len - HEADER as u64;
        let body = self.read(at + HEADER as u64, body_len)?;
        if (body.len() as u64) < body_len {
            return Ok(None);
        }
        let data = body.slice(parsed.data_at..parsed.data_at + parsed.data_len);
        Ok(Some(Seen { kind: parsed.kind, crc: parsed.crc, data, frame_len: parsed.frame_len }))
    }
}

impl Proof {
    fn take(&mut self, kind: u8) {
        if kind == Kind::Entry as u8 {
            self.has_entry = true;
        } else if kind == Kind::HardState as u8 && self.has_entry {
            self.is_batch_over = true;
        }
    }
}

/// True for nothing but zeros. Compares memory, since prepared space comes by the 64 MB.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

/// Can these eight bytes be the length field of a record? Nearly nothing else can.
fn is_length(word: &[u8]) -> bool {
    let Some(field) = word.first_chunk::<HEADER>() else { return false };
    let (record_len, padding) = split_length(*field);
    let flag = if padding == 0 { 0 } else { 0x80 | padding as u8 };
    record_len >= 4
        && record_len <= u64::from(u32::MAX)
        && padding == record_len.wrapping_neg() & 7
        && field[HEADER - 1] == flag
}

struct Parsed {
    kind: u8,
    crc: u32,
    /// Within the record.
    data_at: usize,
    data_len: usize,
    frame_len: u64,
}

/// Reads the beginning of a frame; `None` unless every part of it fits the others.
fn parse(head: &[u8]) -> Option<Parsed> {
    let (field, record) = head.split_first_chunk::<HEADER>()?;
    if !is_length(field) {
        return None;
    }
    let (record_len, padding) = split_length(*field);
    let [0x08, kind @ 1..=5, 0x10, ..] = *record else { return None };
    let mut rest = &record[3..];
    let crc = u32::try_from(prost::encoding::decode_varint(&mut rest).ok()?).ok()?;
    let mut data_len = 0;
    if kind != Kind::Crc as u8 {
        let (tag, tail) = rest.split_first()?;
        rest = tail;
        data_len = prost::encoding::decode_varint(&mut rest).ok().filter(|_| *tag == 0x1a)?;
    }
    let data_at = record.len() - rest.len();
    if (data_at as u64).checked_add(data_len) != Some(record_len) {
        return None;
    }
    let frame_len = HEADER as u64 + record_len + padding;
    Some(Parsed { kind, crc, data_at, data_len: usize::try_from(data_len).ok()?, frame_len })
}
