//! Byte for byte: what is repaired, what is left alone, and that neither depends on how the bytes come in.

use super::super::frames::{BLOCK_MAX, CONTINUATIONS_MAX, PADDED, PAYLOAD_MAX, PRIORITY};
use super::super::hpack::{AUTHORITY_HUFFMAN, AUTHORITY_MAX, AUTHORITY_PLAIN};
use super::super::huffman::decode;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// The URL as the server reads it.
const REPAIRED_URL: &[u8] = b"http---127.0.0.1-2379";

/// The codes fill the space of codes exactly, and RFC 7541's example reads as it says.
#[test]
fn the_huffman_code_is_the_one_of_the_rfc() {
    let space: u64 =
        (1..).zip(&COUNTS[1..]).map(|(bits, count)| u64::from(*count) << (30 - bits)).sum();
    assert_eq!(space, 1 << 30);
    assert_eq!(COUNTS.iter().sum::<u32>(), 257);
    let example = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(decode(&example).unwrap(), b"www.example.com");
    assert_eq!(decode(AUTHORITY_HUFFMAN).unwrap(), AUTHORITY_PLAIN);
    let all: Vec<u8> = (0..=255).collect();
    let coded = huffman(&all);
    // 3 bytes say the length, 583 are the string.
    assert_eq!(decode(&coded[3..]).unwrap(), all);
}

/// The end symbol, padding of a whole byte and padding of zeros are refused, as the RFC asks.
#[test]
fn broken_huffman_strings_are_refused() {
    for broken in [&[0xff, 0xff, 0xff, 0xff][..], &[0xff], &[0x1f, 0xff], &[0x00]] {
        assert_eq!(decode(broken), None, "{broken:x?}");
    }
    assert_eq!(decode(&[]).unwrap(), b"");
}

/// What old Go clients send becomes a host as long as before, in both codings and in every kind of literal.
#[test]
fn an_authority_that_is_no_host_is_replaced() {
    for kind in [0x41, 0x01, 0x11] {
        for literal in [plain(URL), huffman(URL)] {
            let sent =
                connection(&[headers(1, &[&REQUEST[..], &[kind], &literal[..], &[0x90]].concat())]);
            let expected = [&REQUEST[..], &[kind], &plain(REPAIRED_URL)[..], &[0x90]].concat();
            assert_eq!(read(&sent), connection(&[headers(1, &expected)]));
        }
    }
    let sent = connection(&[headers(1, &block(&huffman(ENDPOINTS)))]);
    let host = b"-initially--http---127.0.0.1-2379-http---localhost-2379-";
    assert_eq!(read(&sent), connection(&[headers(1, &block(&plain(host)))]));
}

/// A name that is spelled out counts as well, in both codings, behind other headers and a change of the table's size.
#[test]
fn a_spelled_out_name_is_recognised() {
    for name in [plain(AUTHORITY_PLAIN), huffman(AUTHORITY_PLAIN)] {
        let before = [
            &[0x3f, 0xe1, 0x1f, 0x40][..],
            &plain(b"te"),
            &huffman(b"trailers"),
            &name_of(0x40, &name),
        ]
        .concat();
        let sent = connection(&[headers(1, &[&before[..], &plain(URL)].concat())]);
        let expected = [&before[..], &plain(REPAIRED_URL)].concat();
        assert_eq!(read(&sent), connection(&[headers(1, &expected)]));
    }
}

fn name_of(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[kind], name].concat()
}

/// Padding goes, priority and the other flags stay.
#[test]
fn a_padded_frame_with_a_priority_is_repaired() {
    let priority = [0x80, 0, 0, 0, 7];
    let payload = [&[3][..], &priority, &block(&huffman(URL)), &[0, 0, 0]].concat();
    let flags = END_HEADERS | END_STREAM | PRIORITY;
    let sent = connection(&[frame(HEADERS, flags | PADDED, 5, &payload)]);
    let expected = [&priority[..], &block(&plain(REPAIRED_URL))].concat();
    assert_eq!(read(&sent), connection(&[frame(HEADERS, flags, 5, &expected)]));
}

/// A block over several frames becomes one frame, wherever it was cut.
#[test]
fn a_continued_block_is_repaired() {
    let whole = block(&huffman(URL));
    let expected =
        connection(&[headers(1, &block(&plain(REPAIRED_URL))), frame(DATA, 0, 1, b"later")]);
    for cut in 0..=whole.len() {
        let sent = connection(&[
            frame(HEADERS, END_STREAM, 1, &whole[..cut]),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, END_HEADERS, 1, &whole[cut..]),
            frame(DATA, 0, 1, b"later"),
        ]);
        assert_eq!(read(&sent), expected);
        assert_eq!(read_in_parts(&sent, &[1], 3), expected);
    }
}

/// A block that no longer fits in one frame is continued in another one.
#[test]
fn a_block_that_grows_over_a_frame_is_continued() {
    let filler = |block: &[u8]| {
        let header = [&[0x10][..], &plain(b"filler"), &plain(&vec![b'x'; 16_300])].concat();
        [block, &header].concat()
    };
    let long = b"{".repeat(100);
    // Huffman makes '{' longer; the plain form is shorter than what is sent. 'a' goes the other way.
    let growing = [&b"a".repeat(200)[..], b"/"].concat();
    for authority in [&long[..], &growing] {
        let sent = filler(&block(&huffman(authority)));
        let host: Vec<u8> = authority.iter().map(|b| if *b == b'a' { *b } else { b'-' }).collect();
        let expected = filler(&block(&plain(&host)));
        let frames = if expected.len() <= PAYLOAD_MAX {
            vec![headers(1, &expected)]
        } else {
            vec![
                frame(HEADERS, END_STREAM, 1, &expected[..PAYLOAD_MAX]),
                frame(CONTINUATION, END_HEADERS, 1, &expected[PAYLOAD_MAX..]),
            ]
        };
        let sent = match sent.split_at_checked(PAYLOAD_MAX) {
            None => vec![headers(1, &sent)],
            Some((first, rest)) => vec![
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, END_HEADERS, 1, rest),
            ],
        };
        assert_eq!(read(&connection(&sent)), connection(&frames));
    }
}

/// Good authorities, other headers, broken frames and what passes a limit come out as they went in.
#[test]
fn all_else_is_left_alone() {
    let bad = block(&huffman(URL));
    let continued = |frames: usize, bytes: usize| {
        let mut sent = vec![frame(HEADERS, 0, 1, &bad)];
        sent.extend((0..frames).map(|_| frame(CONTINUATION, 0, 1, &vec![0x90; bytes])));
        sent.push(frame(CONTINUATION, END_HEADERS, 1, &[]));
        sent.concat()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("host and port", headers(1, &block(&huffman(b"localhost:2379")))),
        ("IPv6", headers(1, &block(&plain(b"[::1]:2379")))),
        ("empty", headers(1, &block(&plain(b"")))),
        ("indexed", headers(1, &[0x83, 0x86, 0x84, 0x81])),
        ("another header", headers(1, &[&[0x44][..], &plain(URL)].concat())),
        ("data", frame(DATA, END_HEADERS, 1, &bad)),
        ("trailers", headers(1, &[])),
        ("broken Huffman", headers(1, &block(&[0x81, 0x00]))),
        ("a string longer than the block", headers(1, &block(&[0x05, b'/']))),
        ("an endless integer", headers(1, &[0xff; 12])),
        ("too long a value", headers(1, &block(&plain(&vec![b'/'; AUTHORITY_MAX + 1])))),
        ("too long a frame", headers(1, &[&bad[..], &vec![0x90; PAYLOAD_MAX]].concat())),
        ("too much padding", frame(HEADERS, END_HEADERS | PADDED, 1, &[&[255], &bad[..]].concat())),
        ("no room for a priority", frame(HEADERS, END_HEADERS | PRIORITY, 1, &[1, 2, 3])),
        ("too many continuations", continued(CONTINUATIONS_MAX, 0)),
        ("too long a continued block", continued(5, BLOCK_MAX / 5)),
        (
            "another frame within a block",
            [frame(HEADERS, 0, 1, &bad), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, 4, 1, &[])]
                .concat(),
        ),
        (
            "another stream within a block",
            [frame(HEADERS, 0, 1, &bad), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        ),
        ("a frame cut off", frame(HEADERS, END_HEADERS, 1, &bad)[..20].to_vec()),
        ("a head cut off", frame(HEADERS, END_HEADERS, 1, &bad)[..5].to_vec()),
    ];
    for (name, frames) in cases {
        let sent = connection(&[frames]);
        assert!(read(&sent) == sent, "{name}");
        assert!(read_in_parts(&sent, &[1000], 700) == sent, "{name}");
    }
}

/// A connection that is not HTTP/2 is not looked at, whatever comes in it.
#[test]
fn other_protocols_go_through() {
    let request = [&b"GET /health HTTP/1.1\r\n\r\n"[..], &headers(1, &block(&plain(URL)))].concat();
    assert_eq!(read(&request), request);
    let almost = [&PREFACE[..23], b"?", &headers(1, &block(&plain(URL)))].concat();
    assert_eq!(read_in_parts(&almost, &[7], 5), almost);
}

/// A connection as old clients make it, in two parts, cut at every byte: the same comes out.
#[test]
fn where_a_read_ends_does_not_matter() {
    let sent = connection(&[
        frame(SETTINGS, 0, 0, &[]),
        headers(1, &block(&huffman(ENDPOINTS))),
        frame(DATA, 1, 1, b"message"),
        headers(3, &[&REQUEST[..], &[NEWEST_ENTRY]].concat()),
        headers(5, &block(&plain(URL))),
    ]);
    let expected = read(&sent);
    assert_ne!(expected, sent);
    for cut in 1..sent.len() {
        assert_eq!(read_in_parts(&sent, &[cut, sent.len()], 1 << 16), expected, "cut at {cut}");
    }
    for length in 1..60 {
        assert_eq!(read_in_parts(&sent, &[length], 1 << 16), expected, "parts of {length}");
        assert_eq!(read_in_parts(&sent, &[usize::MAX], length), expected, "buffer of {length}");
    }
}

/// Frames of all kinds with blocks of all kinds, the ones that matter more often.
fn any_frames() -> impl Strategy<Value = Vec<u8>> {
    let authority = prop_oneof![
        vec(any::<u8>(), 0..40),
        "[a-z:/\\[\\]#=;.0-9]{0,60}".prop_map(String::into_bytes),
        Just(b"localhost:2379".to_vec()),
    ];
    let block = prop_oneof![
        (authority, any::<bool>(), vec(any::<u8>(), 0..20)).prop_map(|(value, coded, rest)| {
            let literal = if coded { huffman(&value) } else { plain(&value) };
            [block(&literal), rest].concat()
        }),
        vec(any::<u8>(), 0..60),
    ];
    let kind = prop_oneof![3 => Just(HEADERS), 2 => Just(CONTINUATION), 1 => 0u8..12];
    let flags = prop_oneof![Just(END_HEADERS), any::<u8>()];
    vec((kind, flags, 0u32..4, block), 0..12).prop_map(|frames| {
        frames
            .iter()
            .flat_map(|(kind, flags, stream, block)| frame(*kind, *flags, *stream, block))
            .collect()
    })
}

proptest! {
    /// Whatever comes, in whatever parts: nothing panics, the parts do not matter, and a second look finds nothing.
    #[test]
    fn any_connection_is_read_alike_in_any_parts(
        frames in any_frames(),
        tail in vec(any::<u8>(), 0..40),
        lengths in vec(1usize..50, 1..8),
        buffer in 1usize..100,
    ) {
        let sent = connection(&[frames, tail]);
        let once = read(&sent);
        prop_assert_eq!(&read_in_parts(&sent, &lengths, buffer), &once);
        prop_assert_eq!(&read_in_parts(&once, &lengths, buffer), &once);
    }

    /// Where no frame has headers, nothing is changed; and nothing at all where there is no HTTP/2.
    #[test]
    fn bytes_without_headers_come_out_as_they_went_in(
        frames in vec((any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..60)), 0..12),
        foreign in vec(any::<u8>(), 0..400),
        lengths in vec(1usize..50, 1..8),
    ) {
        let frames: Vec<u8> = frames
            .iter()
            .filter(|(kind, ..)| *kind != HEADERS)
            .flat_map(|(kind, flags, payload)| frame(*kind, *flags, 1, payload))
            .collect();
        let sent = connection(&[frames]);
        prop_assert_eq!(&read_in_parts(&sent, &lengths, 64), &sent);
        prop_assert_eq!(&read_in_parts(&foreign, &lengths, 64), &foreign);
    }

    /// Any value that a URI takes stays, byte for byte; any other one is as long as before, and valid unless empty.
    #[test]
    fn values_are_valid_and_as_long_as_before(value in vec(any::<u8>(), 0..300), coded in any::<bool>()) {
        let literal = if coded { huffman(&value) } else { plain(&value) };
        let sent = connection(&[headers(1, &block(&literal))]);
        let got = read(&sent);
        if value.is_empty() || http::uri::Authority::try_from(&value[..]).is_ok() {
            prop_assert_eq!(got, sent);
        } else {
            let host = &got[got.len() - value.len()..];
            prop_assert!(http::uri::Authority::try_from(host).is_ok());
            prop_assert_eq!(&got, &connection(&[headers(1, &block(&plain(host)))]));
        }
    }
}

/// What a look at one HEADERS frame costs: run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a figure, not a check"]
fn cost_of_a_headers_frame() {
    let cases = [
        // What a call on a warm connection looks like: nine indexed headers and a literal timeout.
        (
            "warm call",
            [&[0x83, 0x86, 0xc4, 0xc3, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe, 0x01][..], &huffman(b"4999m")]
                .concat(),
        ),
        ("good authority", block(&huffman(b"localhost:2379"))),
        ("bad authority", block(&huffman(URL))),
    ];
    const ROUNDS: u32 = 200_000;
    for (name, mut block) in cases {
        if name == "warm call" {
            // The literal is a timeout, not an authority.
            block[9] = 0x40 | 0x3f;
            block.insert(10, 0x01);
        }
        let bytes = [headers(1, &block), frame(DATA, 1, 1, &[0; 40])].concat();
        let mut walk = super::super::frames::Walk::new();
        walk.over(PREFACE);
        let start = std::time::Instant::now();
        for _ in 0..ROUNDS {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let walked = walk.over(std::hint::black_box(rest));
                rest = &rest[walked.through..];
                if let super::super::frames::Next::Replace(old, new) = walked.next {
                    std::hint::black_box(new);
                    rest = &rest[old..];
                }
            }
        }
        println!("{name}: {} ns", start.elapsed().as_nanos() / u128::from(ROUNDS));
    }
}
