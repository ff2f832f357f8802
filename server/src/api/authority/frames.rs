//! Walks the frames a client sends and stops where a header block needs another authority; it moves no bytes itself.

use super::hpack;

/// What every HTTP/2 client sends first (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before a frame's payload: its length, kind, flags and stream.
pub(super) const HEAD: usize = 9;
/// Longest payload of a frame; the server never allows more.
pub(super) const PAYLOAD_MAX: usize = 16_384;
/// Bytes of one header block's frames that are held back to be looked at together; `h2` refuses longer ones anyway.
pub(super) const BLOCK_MAX: usize = 64 * 1024;
/// Frames that may continue one header block before it is let through unseen.
pub(super) const CONTINUATIONS_MAX: usize = 32;

pub(super) const HEADERS: u8 = 1;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;
/// Bytes of the priority at the beginning of a HEADERS frame's payload.
const PRIORITY_LENGTH: usize = 5;

/// Where in the client's stream of bytes the walk is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// That many bytes of the preface have been seen.
    Preface(usize),
    /// Before a frame.
    Frame,
    /// In a frame that goes through as it is; that many of its bytes are still to come.
    Inside(usize),
    /// In a stream that is not HTTP/2.
    Foreign,
}

/// A walk over one connection's bytes from the client.
#[derive(Debug)]
pub(super) struct Walk {
    place: Place,
}

/// What is to be done with the bytes that were walked over.
#[derive(Debug)]
pub(super) struct Walked {
    /// That many go through as they are. The rest is not walked over yet and comes again.
    pub through: usize,
    pub next: Next,
}

/// What comes after the bytes that go through.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing.
    End,
    /// A part of something that cannot be judged without that many more bytes.
    Missing(usize),
    /// Frames of this length, for which others have to go.
    Replace(usize, Vec<u8>),
}

impl Walk {
    pub(super) fn new() -> Walk {
        Walk { place: Place::Preface(0) }
    }

    /// Whether all that follows goes through, whatever it is.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.place, Place::Foreign)
    }

    /// Walks over the next bytes. They begin with those that an earlier walk did not let through.
    pub(super) fn over(&mut self, bytes: &[u8]) -> Walked {
        let mut through = 0;
        while through < bytes.len() {
            let rest = &bytes[through..];
            through += match self.place {
                Place::Foreign => rest.len(),
                Place::Preface(seen) => self.preface(seen, rest),
                Place::Inside(left) => {
                    let passed = left.min(rest.len());
                    self.place =
                        if passed < left { Place::Inside(left - passed) } else { Place::Frame };
                    passed
                }
                Place::Frame => match look(rest) {
                    Look::Leave(length) => {
                        self.place = Place::Inside(length);
                        continue;
                    }
                    Look::Missing(missing) => {
                        return Walked { through, next: Next::Missing(missing) };
                    }
                    Look::Replace(old, new) => {
                        return Walked { through, next: Next::Replace(old, new) };
                    }
                },
            };
        }
        Walked { through, next: Next::End }
    }

    fn preface(&mut self, seen: usize, rest: &[u8]) -> usize {
        let length = rest.len().min(PREFACE.len() - seen);
        self.place = if rest[..length] != PREFACE[seen..seen + length] {
            Place::Foreign
        } else if seen + length == PREFACE.len() {
            Place::Frame
        } else {
            Place::Preface(seen + length)
        };
        length
    }
}

/// What a look at the frame at the beginning of some bytes finds.
enum Look {
    /// It goes through as it is, with all of its bytes.
    Leave(usize),
    Missing(usize),
    Replace(usize, Vec<u8>),
}

/// The first bytes of a frame.
struct Head<'a> {
    length: usize,
    kind: u8,
    flags: u8,
    stream: &'a [u8],
}

impl Head<'_> {
    fn read(bytes: &[u8]) -> Option<Head<'_>> {
        let [a, b, c, kind, flags, stream @ ..] = bytes.get(..HEAD)? else { return None };
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        Some(Head { length, kind: *kind, flags: *flags, stream })
    }
}

fn look(bytes: &[u8]) -> Look {
    let Some(head) = Head::read(bytes) else { return Look::Missing(HEAD - bytes.len()) };
    let whole = HEAD + head.length;
    if head.kind != HEADERS || head.length > PAYLOAD_MAX {
        return Look::Leave(whole);
    }
    let Some(payload) = bytes.get(HEAD..whole) else { return Look::Missing(whole - bytes.len()) };
    let Some((priority, fragment)) = split(payload, head.flags) else { return Look::Leave(whole) };
    if head.flags & END_HEADERS != 0 {
        return match hpack::repair(fragment) {
            Some(block) => Look::Replace(whole, frames(&head, priority, &block)),
            None => Look::Leave(whole),
        };
    }
    match continuations(bytes, whole, &head, fragment) {
        Continued::Broken => Look::Leave(whole),
        Continued::Missing(missing) => Look::Missing(missing),
        Continued::Whole(end, block) => match hpack::repair(&block) {
            Some(block) => Look::Replace(end, frames(&head, priority, &block)),
            // The frames that continue it are of no kind that is looked at: they follow by themselves.
            None => Look::Leave(whole),
        },
    }
}

/// A HEADERS frame's priority and its part of the header block, without padding; `None` if they do not fit in it.
fn split(payload: &[u8], flags: u8) -> Option<(&[u8], &[u8])> {
    let payload = if flags & PADDED != 0 {
        let (padding, rest) = payload.split_first()?;
        &rest[..rest.len().checked_sub(usize::from(*padding))?]
    } else {
        payload
    };
    payload.split_at_checked(if flags & PRIORITY != 0 { PRIORITY_LENGTH } else { 0 })
}

/// A header block that goes on in further frames.
enum Continued {
    /// No block, or none within the limits.
    Broken,
    Missing(usize),
    /// The block, and where its last frame ends.
    Whole(usize, Vec<u8>),
}

/// Gathers the block that begins with `fragment` and goes on in the frames at `at`.
fn continuations(bytes: &[u8], mut at: usize, first: &Head<'_>, fragment: &[u8]) -> Continued {
    let mut block = fragment.to_vec();
    for _ in 0..CONTINUATIONS_MAX {
        let rest = &bytes[at..];
        let Some(head) = Head::read(rest) else { return Continued::Missing(HEAD - rest.len()) };
        let whole = HEAD + head.length;
        if head.kind != CONTINUATION || head.stream != first.stream || at + whole > BLOCK_MAX {
            return Continued::Broken;
        }
        let Some(payload) = rest.get(HEAD..whole) else {
            return Continued::Missing(whole - rest.len());
        };
        block.extend_from_slice(payload);
        at += whole;
        if head.flags & END_HEADERS != 0 {
            return Continued::Whole(at, block);
        }
    }
    Continued::Broken
}

/// Frames for a block, without padding: a HEADERS frame, and as many to continue it as it takes.
fn frames(old: &Head<'_>, priority: &[u8], block: &[u8]) -> Vec<u8> {
    let (mut part, mut rest) = block.split_at(block.len().min(PAYLOAD_MAX - priority.len()));
    let mut frames = Vec::with_capacity(block.len() + HEAD);
    let (mut kind, mut flags) = (HEADERS, old.flags & !(PADDED | END_HEADERS));
    let mut priority = priority;
    loop {
        if rest.is_empty() {
            flags |= END_HEADERS;
        }
        let length = (priority.len() + part.len()) as u32;
        frames.extend_from_slice(&length.to_be_bytes()[1..]);
        frames.extend_from_slice(&[kind, flags]);
        frames.extend_from_slice(old.stream);
        frames.extend_from_slice(priority);
        frames.extend_from_slice(part);
        if rest.is_empty() {
            return frames;
        }
        (kind, flags, priority) = (CONTINUATION, 0, &[]);
        (part, rest) = rest.split_at(rest.len().min(PAYLOAD_MAX));
    }
}
