//! What a client's bytes become on their way to `h2`: hand-made frames, chunked in every way, and `h2` itself behind it.

mod bytes;
mod served;

use super::frames::{CONTINUATION, END_HEADERS, HEADERS, PREFACE};
use super::hpack::put_plain;
use super::huffman::{COUNTS, SYMBOLS};
use super::stream::RepairAuthority;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// What etcdctl 3.4.23 and clientv3 3.5.0 send.
const URL: &[u8] = b"http://127.0.0.1:2379";
const ENDPOINTS: &[u8] = b"#initially=[http://127.0.0.1:2379;http://localhost:2379]";

/// `:authority`, spelled out and kept in the dynamic table.
const INDEXED_AUTHORITY: u8 = 0x41;
/// The first entry of the dynamic table.
const NEWEST_ENTRY: u8 = 0xbe;
/// `:method: POST`, `:scheme: http` and `:path: /`.
const REQUEST: [u8; 3] = [0x83, 0x86, 0x84];
const END_STREAM: u8 = 0x1;
const DATA: u8 = 0;
const SETTINGS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// What a client sends from its first byte on.
fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE, &frames.concat()].concat()
}

fn plain(string: &[u8]) -> Vec<u8> {
    let mut literal = Vec::new();
    put_plain(string, &mut literal);
    literal
}

/// A request's block with this authority as a literal.
fn block(literal: &[u8]) -> Vec<u8> {
    [&REQUEST[..], &[INDEXED_AUTHORITY], literal].concat()
}

/// A string literal in the Huffman code.
fn huffman(string: &[u8]) -> Vec<u8> {
    let bits: String = string.iter().map(|byte| huffman_code(*byte)).collect();
    let padded = format!("{bits}{}", "1".repeat((8 - bits.len() % 8) % 8));
    let bytes: Vec<u8> = padded
        .as_bytes()
        .chunks(8)
        .map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0')))
        .collect();
    let mut literal = plain(&bytes);
    literal[0] |= 0x80;
    literal
}

/// A symbol's code as zeros and ones.
fn huffman_code(symbol: u8) -> String {
    let place = SYMBOLS.iter().position(|other| *other == symbol).unwrap() as u32;
    let (mut code, mut first) = (0, 0);
    for (length, count) in COUNTS.iter().enumerate() {
        code <<= 1;
        if place < first + count {
            return format!("{:0length$b}", code + place - first);
        }
        code += count;
        first += count;
    }
    unreachable!("256 symbols have codes");
}

/// A connection that brings its bytes in parts; a part that is used up makes the reader wait once.
struct Parts {
    parts: VecDeque<Vec<u8>>,
    wait: bool,
}

impl AsyncRead for Parts {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wait) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(part) = self.parts.front_mut() else { return Poll::Ready(Ok(())) };
        let length = part.len().min(buffer.remaining());
        buffer.put_slice(&part.drain(..length).collect::<Vec<u8>>());
        if part.is_empty() {
            self.parts.pop_front();
            self.wait = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// What the server reads of bytes that come in parts of these lengths, in turn, into buffers of `buffer` bytes.
fn read_in_parts(bytes: &[u8], lengths: &[usize], buffer: usize) -> Vec<u8> {
    let (mut parts, mut rest) = (VecDeque::new(), bytes);
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(*length));
        parts.push_back(part.to_vec());
        rest = after;
    }
    let mut stream = RepairAuthority::new(Parts { parts, wait: false });
    futures::executor::block_on(async {
        let (mut all, mut part) = (Vec::new(), vec![0; buffer]);
        loop {
            match stream.read(&mut part).await.unwrap() {
                0 => return all,
                length => all.extend_from_slice(&part[..length]),
            }
        }
    })
}

/// What the server reads of bytes that come at once.
fn read(bytes: &[u8]) -> Vec<u8> {
    read_in_parts(bytes, &[usize::MAX], 1 << 20)
}
