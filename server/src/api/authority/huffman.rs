//! Reads the Huffman code of HTTP/2's header strings (RFC 7541, appendix B); it never writes it.
//!
//! The code is canonical: codes of one length are consecutive, in the order of their symbols. Two tables say all of it.

/// How many codes have a length of that many bits. The last one of 30 bits is the end of the string and never sent.
pub(super) const COUNTS: [u32; 31] = [
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19,
    29, 0, 4,
];

/// The symbols in the order of their codes; a row for the short ones of each length.
pub(super) const SYMBOLS: &[u8; 256] = b"012aceiost\
     \x20%-./3456789=A_bdfghlmnpru\
    :BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz\
    &*,;XZ\
    !\"()?\
    '+|\
    #>\
    \x00$@[]~\
    ^}\
    <`{\
    \\\xc3\xd0\
    \x80\x82\x83\xa2\xb8\xc2\xe0\xe2\
    \x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6\
    \x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9\
    \x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef\
    \x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed\
    \xc7\xcf\xea\xeb\
    \xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff\
    \xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe\
    \x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9\
    \x0a\x0d\x16";

/// Decodes a string. `None` when it holds the end symbol, or ends in anything but less than a byte of ones.
pub(super) fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    // The shortest code has five bits.
    let mut decoded = Vec::with_capacity(encoded.len() * 8 / 5);
    // The bits of the code read so far, and the first code and symbol of their length.
    let (mut code, mut length) = (0u32, 0usize);
    let (mut first, mut symbol) = (0u32, 0u32);
    for bit in encoded.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        code = code << 1 | u32::from(bit);
        first <<= 1;
        length += 1;
        let count = *COUNTS.get(length)?;
        if code - first < count {
            decoded.push(*SYMBOLS.get((symbol + code - first) as usize)?);
            (code, length, first, symbol) = (0, 0, 0, 0);
        } else {
            first += count;
            symbol += count;
        }
    }
    let only_ones = code + 1 == 1 << length;
    (length < 8 && only_ones).then_some(decoded)
}
