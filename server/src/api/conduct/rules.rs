//! What a client may do on its connection. Pings: grpc-go's rule (`grpc-go:internal/transport/http2_server.go`).

use super::frames::{
    ACK, CONTINUATION, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Pings too soon after another that are forgiven until the server sends something.
const STRIKES_MAX: u32 = 2;
/// Time between pings where no call is under way: none are expected, so grpc-go allows one in two hours.
const IDLE_PING_MIN: Duration = Duration::from_secs(2 * 3600);
/// Frames that make work and move nothing, which a client may send at once, and which it gets back each second. Clients
/// cancel calls in bursts, and no faster than this in the long run.
const IDLE_FRAMES_MAX: f64 = 10_000.0;
const IDLE_FRAMES_PER_SECOND: f64 = 1_000.0;

/// Why a connection ends: the text of the GOAWAY.
pub(super) type Fault = &'static str;

/// grpc-go's text; its clients double their ping interval when they read it.
pub(super) const TOO_MANY_PINGS: Fault = "too_many_pings";
const TOO_MANY_FRAMES: Fault = "too_many_empty_frames";

/// What one client has done.
#[derive(Debug)]
pub(super) struct Conduct {
    ping_min: Duration,
    last_ping: Option<Instant>,
    strikes: u32,
    /// The server has sent headers or data since the last ping, which wipes out strikes.
    has_sent: bool,
    /// Calls under way.
    open: HashSet<u32>,
    newest: u32,
    budget: f64,
    refilled: Option<Instant>,
}

impl Conduct {
    pub(super) fn new(ping_min: Duration) -> Conduct {
        Conduct {
            ping_min,
            last_ping: None,
            strikes: 0,
            has_sent: false,
            open: HashSet::new(),
            newest: 0,
            budget: IDLE_FRAMES_MAX,
            refilled: None,
        }
    }

    /// The newest stream that the client has opened.
    pub(super) fn newest_stream(&self) -> u32 {
        self.newest
    }

    /// Judges a frame of the client.
    pub(super) fn received(&mut self, frame: &Frame, now: impl Fn() -> Instant) -> Option<Fault> {
        match frame.kind {
            HEADERS => {
                if frame.stream > self.newest {
                    self.newest = frame.stream;
                    self.open.insert(frame.stream);
                }
                None
            }
            DATA if frame.length > 0 || frame.flags & END_STREAM != 0 => None,
            PING if frame.flags & ACK == 0 => self.ping(now()),
            CONTINUATION | WINDOW_UPDATE | GOAWAY => None,
            RST_STREAM => {
                self.open.remove(&frame.stream);
                self.spend(now())
            }
            DATA | PRIORITY | SETTINGS => self.spend(now()),
            // Acknowledged pings, and kinds that HTTP/2 tells us to ignore.
            _ => self.spend(now()),
        }
    }

    /// Notes a frame of the server.
    pub(super) fn sent(&mut self, frame: &Frame) {
        let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        if ends || frame.kind == RST_STREAM {
            self.open.remove(&frame.stream);
        }
        self.has_sent |= matches!(frame.kind, HEADERS | DATA);
    }

    fn ping(&mut self, now: Instant) -> Option<Fault> {
        let last = self.last_ping.replace(now);
        if std::mem::take(&mut self.has_sent) {
            self.strikes = 0;
            return None;
        }
        let min = if self.open.is_empty() { IDLE_PING_MIN } else { self.ping_min };
        if last.is_some_and(|last| now.duration_since(last) < min) {
            self.strikes += 1;
        }
        (self.strikes > STRIKES_MAX).then_some(TOO_MANY_PINGS)
    }

    fn spend(&mut self, now: Instant) -> Option<Fault> {
        let since = self.refilled.replace(now).map_or(Duration::ZERO, |at| now.duration_since(at));
        let refilled = self.budget + since.as_secs_f64() * IDLE_FRAMES_PER_SECOND;
        self.budget = refilled.min(IDLE_FRAMES_MAX) - 1.0;
        (self.budget < 0.0).then_some(TOO_MANY_FRAMES)
    }
}
