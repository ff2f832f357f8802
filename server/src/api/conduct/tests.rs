//! The rules against made-up frames and times.

use super::frames::{self, Frame, Walk, goaway_calm};
use super::rules::{Conduct, TOO_MANY_PINGS};
use std::time::{Duration, Instant};

fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Frame {
    Frame { length, kind, flags, stream }
}

fn ping() -> Frame {
    frame(frames::PING, 0, 0, 8)
}

/// Without a call the third repeated ping ends the connection; with one, pings as far apart as asked are fine.
#[test]
fn pings_are_judged_as_grpc_go_does() {
    let start = Instant::now();
    let at = |seconds: u64| move || start + Duration::from_secs(seconds);
    let mut idle = Conduct::new(Duration::from_secs(5));
    for n in 0..3 {
        assert_eq!(idle.received(&ping(), at(100 * n)), None);
    }
    assert_eq!(idle.received(&ping(), at(300)), Some(TOO_MANY_PINGS));

    let mut busy = Conduct::new(Duration::from_secs(5));
    busy.received(&frame(frames::HEADERS, 0, 1, 20), at(0));
    for n in 0..50 {
        assert_eq!(busy.received(&ping(), at(5 * n)), None);
    }
    for n in 0..2 {
        assert_eq!(busy.received(&ping(), at(246 + n)), None);
    }
    assert_eq!(busy.received(&ping(), at(248)), Some(TOO_MANY_PINGS));
}

/// What the server sends wipes strikes out: pings that measure a transfer are no attack.
#[test]
fn transfers_may_be_measured() {
    let now = Instant::now();
    let mut conduct = Conduct::new(Duration::from_secs(5));
    conduct.received(&frame(frames::HEADERS, 0, 1, 20), || now);
    for _ in 0..1000 {
        conduct.sent(&frame(frames::DATA, 0, 1, 16_384));
        assert_eq!(conduct.received(&ping(), || now), None);
    }
}

/// Calls end by the server's last frame or by a reset of either side.
#[test]
fn ended_calls_do_not_count() {
    let start = Instant::now();
    for end in ["sent", "reset", "refused"] {
        let mut conduct = Conduct::new(Duration::ZERO);
        conduct.received(&frame(frames::HEADERS, 0, 1, 20), || start);
        match end {
            "sent" => conduct.sent(&frame(frames::HEADERS, frames::END_STREAM, 1, 20)),
            "refused" => conduct.sent(&frame(frames::RST_STREAM, 0, 1, 4)),
            _ => drop(conduct.received(&frame(frames::RST_STREAM, 0, 1, 4), || start)),
        }
        let told: Vec<bool> =
            (0..6).map(|_| conduct.received(&ping(), || start).is_some()).collect();
        assert!(told.contains(&true), "{end}: {told:?}");
    }
}

/// Frames that move nothing have a budget that grows back.
#[test]
fn empty_frames_have_a_budget() {
    let start = Instant::now();
    for kind in [frames::SETTINGS, frames::PRIORITY, frames::RST_STREAM, frames::DATA, 99] {
        let mut conduct = Conduct::new(Duration::from_secs(5));
        let told = (0..10_001).map(|_| conduct.received(&frame(kind, 0, 3, 0), || start));
        assert_eq!(told.filter(Option::is_some).count(), 1, "kind {kind}");
        let later = start + Duration::from_secs(3);
        assert_eq!(conduct.received(&frame(kind, 0, 3, 0), || later), None);
    }
}

/// Frames are found in whatever pieces the bytes come, and nothing is found in HTTP/1.1.
#[test]
fn frames_are_found_in_pieces() {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&[0, 0, 0, frames::SETTINGS, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&[0, 0, 2, frames::DATA, frames::END_STREAM, 0x80, 0, 1, 5, 7, 7]);
    bytes.extend_from_slice(&goaway_calm(7, "x"));
    let expected = [
        frame(frames::SETTINGS, 0, 0, 0),
        frame(frames::DATA, frames::END_STREAM, 261, 2),
        frame(frames::GOAWAY, 0, 0, 9),
    ];
    for piece in 1..=bytes.len() {
        let mut walk = Walk::of_client();
        let mut found = Vec::new();
        for chunk in bytes.chunks(piece) {
            walk.over(chunk, |frame| found.push(frame));
        }
        assert_eq!(found, expected, "in pieces of {piece}");
        assert!(walk.is_between_frames() && walk.is_http2());
    }
    let mut walk = Walk::of_client();
    walk.over(b"PRI / HTTP/1.1\r\n\r\n", |frame| panic!("found {frame:?}"));
    assert!(!walk.is_http2());
}
