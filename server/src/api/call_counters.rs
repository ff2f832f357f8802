//! Counters of one method, looked up once, and what tells messages apart in a stream of bytes.

use super::intake::Intake;
use super::methods::{Method, Shape};
use crate::metrics::Metrics;
use prometheus::{Histogram, IntCounter};
use std::sync::Arc;
use std::time::Instant;
use tonic::Code;

/// grpc-go's names of codes, by number, as its interceptors write them into labels.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// grpc-go's name of a code.
pub fn code_name(code: Code) -> &'static str {
    CODES[code as usize]
}

/// Counters of one method.
#[derive(Debug)]
pub struct CallCounters {
    path: &'static str,
    shape: Shape,
    intake: Arc<Intake>,
    started: IntCounter,
    received: IntCounter,
    sent: IntCounter,
    received_bytes: IntCounter,
    sent_bytes: IntCounter,
    handled: [IntCounter; CODES.len()],
    times: Option<Histogram>,
}

impl CallCounters {
    /// Registers a method with all its counters at zero.
    pub fn new(metrics: &Metrics, intake: &Arc<Intake>, method: &'static Method) -> CallCounters {
        let (service, name) = method.names();
        let labels = [method.shape.label(), service, name];
        let grpc = &metrics.grpc;
        let handled =
            |code: &str| grpc.handled.with_label_values(&[labels[0], labels[1], labels[2], code]);
        CallCounters {
            path: method.path,
            shape: method.shape,
            intake: intake.clone(),
            started: grpc.started.with_label_values(&labels),
            received: grpc.received.with_label_values(&labels),
            sent: grpc.sent.with_label_values(&labels),
            received_bytes: metrics.network.client_received_bytes.clone(),
            sent_bytes: metrics.network.client_sent_bytes.clone(),
            handled: CODES.map(handled),
            times: grpc.times.as_ref().map(|times| times.with_label_values(&labels)),
        }
    }

    /// The method's path.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Whether either side may send more than one message.
    pub fn is_stream(&self) -> bool {
        self.shape != Shape::Unary
    }

    /// Whether the client sends one message and no more.
    pub fn takes_one(&self) -> bool {
        self.shape != Shape::BidiStream
    }

    /// Where requests that are still coming are counted.
    pub fn intake(&self) -> Arc<Intake> {
        self.intake.clone()
    }

    /// Counts a call that begins.
    pub fn start(&self) {
        self.started.inc();
    }

    /// Counts messages of the client.
    pub fn receive(&self, seen: Seen) {
        self.received.inc_by(seen.messages);
        self.received_bytes.inc_by(seen.bytes);
    }

    /// Counts messages to the client.
    pub fn send(&self, seen: Seen) {
        self.sent.inc_by(seen.messages);
        self.sent_bytes.inc_by(seen.bytes);
    }

    /// Counts a call that ended.
    pub fn finish(&self, code: Code, started: Instant) {
        self.handled[code as usize].inc();
        if let Some(times) = &self.times {
            times.observe(started.elapsed().as_secs_f64());
        }
    }
}

/// What was in some bytes of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Messages that began.
    pub messages: u64,
    /// Bytes of messages, without gRPC's prefixes.
    pub bytes: u64,
}

/// Follows gRPC's framing: five bytes before each message, of which four are its length.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageMeter {
    prefix: [u8; 5],
    n_prefix: usize,
    whole: usize,
    left: usize,
}

impl MessageMeter {
    /// Looks at the next bytes.
    pub fn see(&mut self, mut bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while !bytes.is_empty() {
            if self.left > 0 {
                let n = self.left.min(bytes.len());
                self.left -= n;
                seen.bytes += n as u64;
                bytes = &bytes[n..];
                continue;
            }
            let n = (self.prefix.len() - self.n_prefix).min(bytes.len());
            self.prefix[self.n_prefix..self.n_prefix + n].copy_from_slice(&bytes[..n]);
            self.n_prefix += n;
            bytes = &bytes[n..];
            if self.n_prefix == self.prefix.len() {
                let [_, a, b, c, d] = self.prefix;
                self.whole = u32::from_be_bytes([a, b, c, d]) as usize;
                self.left = self.whole;
                self.n_prefix = 0;
                seen.messages += 1;
            }
        }
        seen
    }

    /// Bytes that have come of the last message, whole or not.
    pub fn last(&self) -> usize {
        self.whole - self.left
    }

    /// Bytes that have come of a message that is not whole.
    pub fn unfinished(&self) -> usize {
        if self.left > 0 { self.last() + self.prefix.len() } else { self.n_prefix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages are counted wherever the bytes are torn.
    #[test]
    fn messages_are_told_apart() {
        let bytes = b"\0\0\0\0\x03abc\0\0\0\0\0\0\0\0\0\x01x";
        for size in 1..=bytes.len() {
            let mut meter = MessageMeter::default();
            let mut all = Seen::default();
            for chunk in bytes.chunks(size) {
                let seen = meter.see(chunk);
                all.messages += seen.messages;
                all.bytes += seen.bytes;
            }
            assert_eq!((meter.last(), meter.unfinished()), (1, 0), "{size}");
            assert_eq!(all, Seen { messages: 3, bytes: 4 }, "{size}");
        }
    }

    /// What has come of a message is known at each of its bytes.
    #[test]
    fn unfinished_messages_are_known() {
        let mut meter = MessageMeter::default();
        let came: Vec<usize> = b"\0\0\0\0\x03abc\0"
            .iter()
            .map(|byte| {
                meter.see(&[*byte]);
                meter.unfinished()
            })
            .collect();
        assert_eq!(came, [1, 2, 3, 4, 5, 6, 7, 0, 1]);
    }

    /// Codes have grpc-go's names by their numbers.
    #[test]
    fn codes_have_names() {
        assert_eq!(CODES[Code::Unauthenticated as usize], "Unauthenticated");
        assert_eq!(CODES[Code::Cancelled as usize], "Canceled");
        assert_eq!(CODES[Code::NotFound as usize], "NotFound");
    }
}
