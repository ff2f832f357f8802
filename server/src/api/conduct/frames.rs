//! Finds frames in the bytes of an HTTP/2 connection, in whatever pieces they come. Payloads are skipped.

/// What every HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before a frame's payload.
const HEAD: usize = 9;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Frame {
    fn read(head: &[u8; HEAD]) -> Frame {
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Frame { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }
    }
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Preface(usize),
    Head([u8; HEAD], usize),
    Payload(usize),
    Foreign,
}

/// A walk over one direction of a connection.
#[derive(Debug)]
pub(super) struct Walk {
    place: Place,
}

impl Walk {
    /// Over what a client sends, which may not be HTTP/2 at all.
    pub(super) fn of_client() -> Walk {
        Walk { place: Place::Preface(0) }
    }

    /// Over what a server sends.
    pub(super) fn of_server() -> Walk {
        Walk { place: Place::Head([0; HEAD], 0) }
    }

    /// Whether the client speaks HTTP/2, as far as is known.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.place, Place::Head(..) | Place::Payload(_))
    }

    /// Whether a frame has ended and none has begun.
    pub(super) fn is_between_frames(&self) -> bool {
        matches!(self.place, Place::Head(_, 0))
    }

    /// Shows the frames that begin in these bytes.
    pub(super) fn over(&mut self, mut bytes: &[u8], mut see: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let taken = match &mut self.place {
                Place::Foreign => return,
                Place::Preface(seen) => {
                    let length = bytes.len().min(PREFACE.len() - *seen);
                    if bytes[..length] != PREFACE[*seen..*seen + length] {
                        self.place = Place::Foreign;
                    } else if *seen + length == PREFACE.len() {
                        self.place = Place::Head([0; HEAD], 0);
                    } else {
                        *seen += length;
                    }
                    length
                }
                Place::Head(head, have) => {
                    let length = bytes.len().min(HEAD - *have);
                    head[*have..*have + length].copy_from_slice(&bytes[..length]);
                    *have += length;
                    if *have == HEAD {
                        let frame = Frame::read(head);
                        self.place = match frame.length {
                            0 => Place::Head([0; HEAD], 0),
                            left => Place::Payload(left),
                        };
                        see(frame);
                    }
                    length
                }
                Place::Payload(left) => {
                    let length = bytes.len().min(*left);
                    *left -= length;
                    if *left == 0 {
                        self.place = Place::Head([0; HEAD], 0);
                    }
                    length
                }
            };
            bytes = &bytes[taken..];
        }
    }
}

/// The frame with which a server parts from a client that overdoes it.
pub(super) fn goaway_calm(last_stream: u32, text: &str) -> Vec<u8> {
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    let length = (8 + text.len()) as u32;
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(&last_stream.to_be_bytes());
    frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend_from_slice(text.as_bytes());
    frame
}
