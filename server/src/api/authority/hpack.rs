//! Finds the `:authority` a header block spells out, and makes it one that a URI may have (RFC 7541).
//!
//! No dynamic table is kept, because only the lengths of the representations matter: an entry of the table was spelled
//! out once, and that is when it was repaired. The new value is as long as the old one, so the tables of client and
//! server keep the same entries.

use super::huffman;
use http::uri::Authority;
use std::ops::Range;

/// Longest encoded authority that is looked at; decoding more is not worth a client's wish.
pub(super) const AUTHORITY_MAX: usize = 4096;

/// `:authority` in the static table.
const AUTHORITY_INDEX: usize = 1;
/// `:authority` as a client might spell the name out: plain, or in the Huffman code (a string has only one coding).
pub(super) const AUTHORITY_PLAIN: &[u8] = b":authority";
pub(super) const AUTHORITY_HUFFMAN: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// The block with a valid authority. `None` when there is nothing to repair, or the block is broken: `h2` judges that.
pub(super) fn repair(block: &[u8]) -> Option<Vec<u8>> {
    let value = authority(block)?;
    let replacement = replacement(&value)?;
    let mut repaired = Vec::with_capacity(block.len() + replacement.len());
    repaired.extend_from_slice(&block[..value.whole.start]);
    put_plain(&replacement, &mut repaired);
    repaired.extend_from_slice(&block[value.whole.end..]);
    Some(repaired)
}

/// A valid authority of the same length for one that is not; `None` for a valid one, and where there is none.
fn replacement(value: &Literal<'_>) -> Option<Vec<u8>> {
    if value.bytes.len() > AUTHORITY_MAX {
        return None;
    }
    let decoded;
    let old = if value.huffman {
        decoded = huffman::decode(value.bytes)?;
        &decoded
    } else {
        value.bytes
    };
    if Authority::try_from(old).is_ok() {
        return None;
    }
    let new: Vec<u8> = old
        .iter()
        .map(|byte| if byte.is_ascii_alphanumeric() || *byte == b'.' { *byte } else { b'-' })
        .collect();
    // Nothing of length zero is valid.
    Authority::try_from(new.as_slice()).is_ok().then_some(new)
}

/// A string literal in a block.
struct Literal<'a> {
    /// Where it is, with its length before it.
    whole: Range<usize>,
    bytes: &'a [u8],
    huffman: bool,
}

/// The first value of `:authority` that the block spells out. A second one makes any request invalid.
fn authority(block: &[u8]) -> Option<Literal<'_>> {
    let mut reader = Reader { block, at: 0 };
    while let Some(first) = block.get(reader.at) {
        // Section 6: what a representation is stands in its first bits, an index or a size in the rest.
        let (index_bits, is_literal) = match first.leading_zeros() {
            0 => (7, false),
            1 => (6, true),
            2 => (5, false),
            _ => (4, true),
        };
        let index = reader.integer(index_bits)?;
        if !is_literal {
            continue;
        }
        let is_authority = if index == 0 {
            let name = reader.string()?;
            name.bytes == if name.huffman { AUTHORITY_HUFFMAN } else { AUTHORITY_PLAIN }
        } else {
            index == AUTHORITY_INDEX
        };
        let value = reader.string()?;
        if is_authority {
            return Some(value);
        }
    }
    None
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// An integer whose first byte has that many bits for it (section 5.1).
    fn integer(&mut self, bits: u32) -> Option<usize> {
        let most = (1 << bits) - 1;
        let mut value = usize::from(self.byte()?) & most;
        if value < most {
            return Some(value);
        }
        // Four more bytes hold all that a block can hold.
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn string(&mut self) -> Option<Literal<'a>> {
        let start = self.at;
        let huffman = self.block.get(start)? & 0x80 != 0;
        let length = self.integer(7)?;
        let bytes = self.block.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(Literal { whole: start..self.at, bytes, huffman })
    }
}

/// Appends a string without Huffman coding, its length before it.
pub(super) fn put_plain(string: &[u8], block: &mut Vec<u8>) {
    let mut length = string.len();
    if length < 0x7f {
        block.push(length as u8);
    } else {
        block.push(0x7f);
        length -= 0x7f;
        while length > 0x7f {
            block.push(length as u8 & 0x7f | 0x80);
            length >>= 7;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(string);
}
