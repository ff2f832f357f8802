//! One frame of the log: length field, `walpb.Record`, padding. Encoding without intermediate buffers, decoding
//! without copies. Files and positions in them are the business of `writer` and `reader`.

use bytes::Bytes;
use prost::Message;
use quorate_proto::{raftpb, walpb};

/// Bytes of the length field before each record.
pub(super) const HEADER: usize = 8;
/// Largest record that is believed; a larger length is damage (etcd's own limit is the request size, 1.5 MiB).
pub(super) const RECORD_MAX: u64 = 512 << 20;
/// Unit in which a disk tears a write.
const SECTOR: u64 = 512;

/// `walpb.Record.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Metadata = 1,
    Entry = 2,
    HardState = 3,
    Crc = 4,
    Snapshot = 5,
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Whose log this is; the second record of every segment.
    Metadata(walpb::Metadata),
    /// A log entry; replaces one of the same index and all that follow it.
    Entry(raftpb::Entry),
    /// Term, vote and commit index from here on.
    HardState(raftpb::HardState),
    /// The running checksum; the first record of every segment.
    Crc(u32),
    /// The state up to this index is in a snapshot or in the database.
    Snapshot(walpb::Snapshot),
}

/// Where a frame is, and what is needed to check it on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Sequence number of the segment.
    pub segment: u32,
    /// Byte offset of the frame in it.
    pub offset: u32,
    /// Bytes of the whole frame, padding included.
    pub length: u32,
    /// Running checksum before this record.
    pub previous_crc: u32,
}

impl Position {
    /// Offset of the first byte after the frame.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }
}

/// Appends a base-128 varint.
pub(super) fn push_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends one frame whose data is the concatenation of `parts`; returns the new running checksum.
pub(super) fn push_frame(buffer: &mut Vec<u8>, kind: Kind, crc: u32, parts: &[&[u8]]) -> u32 {
    let crc = parts.iter().fold(crc, |crc, part| crc32c::crc32c_append(crc, part));
    let data_len: usize = parts.iter().map(|part| part.len()).sum();
    let mut record_len = 2 + 1 + varint_len(u64::from(crc));
    if kind != Kind::Crc {
        record_len += 1 + varint_len(data_len as u64) + data_len;
    }
    let padding = record_len.wrapping_neg() & 7;
    let mut length_field = record_len as u64;
    if padding != 0 {
        length_field |= (0x80 | padding as u64) << 56;
    }
    buffer.reserve(HEADER + record_len + padding);
    buffer.extend_from_slice(&length_field.to_le_bytes());
    buffer.extend_from_slice(&[0x08, kind as u8, 0x10]);
    push_varint(buffer, u64::from(crc));
    if kind != Kind::Crc {
        buffer.push(0x1a);
        push_varint(buffer, data_len as u64);
        for part in parts {
            buffer.extend_from_slice(part);
        }
    }
    buffer.extend_from_slice(&[0; 7][..padding]);
    crc
}

/// The length field taken apart: (record bytes, padding bytes).
pub(super) fn split_length(field: [u8; 8]) -> (u64, u64) {
    let field = u64::from_le_bytes(field);
    let padding = if field >> 63 == 1 { (field >> 56) & 7 } else { 0 };
    (field & 0x00ff_ffff_ffff_ffff, padding)
}

/// Decodes and checks the record of one frame (without header and padding). Returns it with the running checksum
/// after it, or what is wrong.
pub(super) fn decode(record: Bytes, previous_crc: u32) -> Result<(Record, u32), String> {
    let raw = walpb::Record::decode(record).map_err(|error| format!("not a record: {error}"))?;
    let data = raw.data.unwrap_or_default();
    if raw.r#type == Kind::Crc as i64 {
        return Ok((Record::Crc(raw.crc), raw.crc));
    }
    let crc = crc32c::crc32c_append(previous_crc, &data);
    if crc != raw.crc {
        return Err(format!("checksum is {crc:08x}, the record says {:08x}", raw.crc));
    }
    let undecodable = |error: prost::DecodeError| format!("record data: {error}");
    let record = match raw.r#type {
        1 => Record::Metadata(walpb::Metadata::decode(data).map_err(undecodable)?),
        2 => Record::Entry(raftpb::Entry::decode(data).map_err(undecodable)?),
        3 => Record::HardState(raftpb::HardState::decode(data).map_err(undecodable)?),
        5 => Record::Snapshot(walpb::Snapshot::decode(data).map_err(undecodable)?),
        other => return Err(format!("record type {other} is not known")),
    };
    Ok((record, crc))
}

/// True when a frame that cannot be read looks like a write that a power loss cut short, rather than like damage:
/// a sector of it never reached the disk, and what is there does not contradict its length.
///
/// `body` is what the file holds of the record, without padding; `body_offset` is where it starts in the file; `is_cut` says that the
/// file ends within the frame. etcd's rule (`wal/decoder.go`, isTornEntry) plus the check of the length, so that a flipped
/// bit in a length never costs the records behind it.
pub(super) fn looks_torn(body: &[u8], body_offset: u64, record_len: u64, is_cut: bool) -> bool {
    let first = ((SECTOR - body_offset % SECTOR) as usize).min(body.len());
    let sectors = std::iter::once(0..first).chain(
        (first..body.len())
            .step_by(SECTOR as usize)
            .map(|at| at..(at + SECTOR as usize).min(body.len())),
    );
    let is_zero = |sector: &std::ops::Range<usize>| body[sector.clone()].iter().all(|b| *b == 0);
    let lost = sectors.filter(|sector| !sector.is_empty()).find(is_zero);
    // Only what stands before the lost sector can contradict.
    let known = lost.as_ref().map_or(body.len(), |sector| sector.start);
    (is_cut || lost.is_some()) && agrees(&body[..known], record_len)
}

/// Does the beginning of a record agree with the length its frame claims? Too few bytes to tell is a yes.
fn agrees(body: &[u8], record_len: u64) -> bool {
    let mut rest = body;
    let mut tag = |expected: u8| -> Option<Option<u64>> {
        match rest.split_first() {
            None => return None,
            Some((byte, _)) if *byte != expected => return Some(None),
            Some((_, tail)) => rest = tail,
        }
        match prost::encoding::decode_varint(&mut rest) {
            Ok(value) => Some(Some(value)),
            Err(_) if rest.is_empty() => None,
            Err(_) => Some(None),
        }
    };
    for expected in [0x08, 0x10] {
        match tag(expected) {
            None => return true,
            Some(None) => return false,
            Some(Some(_)) => {}
        }
    }
    match tag(0x1a) {
        None => true,
        Some(None) => false,
        Some(Some(data_len)) => {
            let before = (body.len() - rest.len()) as u64;
            before.checked_add(data_len) == Some(record_len)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record whose first bytes reached the disk and whose next sector did not is torn, wherever the sector begins;
    /// one whose length contradicts its first bytes is damaged.
    #[test]
    fn a_lost_sector_is_a_torn_record() {
        let mut frame = Vec::new();
        push_frame(&mut frame, Kind::Entry, 77, &[&[b'x'; 1500]]);
        let record_len = split_length(frame[..8].try_into().unwrap()).0;
        for offset in 0..SECTOR {
            let lost = (SECTOR - offset) as usize;
            let mut body = frame[HEADER..HEADER + record_len as usize].to_vec();
            assert!(!looks_torn(&body, offset, record_len, false));
            body[lost..lost + SECTOR as usize].fill(0);
            assert!(looks_torn(&body, offset, record_len, false), "lost from {lost}");
            assert_eq!(looks_torn(&body, offset, record_len ^ 512, false), lost < 11, "{lost}");
        }
        assert!(looks_torn(&frame[HEADER..700], 0, record_len, true));
    }
}
