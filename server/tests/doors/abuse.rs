//! Input that means harm or makes no sense: the member stays up, small and in service.

use super::ask::{Answer, Lone, etcd, etcdctl, ours, run, until};
use super::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    SETTINGS, Wire, call_headers, frame,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use testbed::{Leaf, Pki, Version};

/// Memory that a member may ever have had resident in this suite.
const PEAK_MAX: u64 = 400 << 20;
const RANGE: &str = "/etcdserverpb.KV/Range";

/// Somebody else is served, and the member has stayed small.
#[track_caller]
fn is_well(member: &mut Lone, after: &str) {
    let flags = vec![format!("--endpoints=http://127.0.0.1:{}", member.client)];
    let answer = etcdctl(Version::V3_7_1, &flags, "put well yes");
    assert_eq!(answer.code, 0, "after {after}: {answer:?}");
    assert!(member.process.is_running(), "after {after}");
    let peak = member.process.usage().unwrap().peak_rss_bytes;
    assert!(peak < PEAK_MAX, "after {after} the member had {} MiB", peak >> 20);
}

/// The peer port, as the log tells it.
fn peer_port(member: &Lone) -> u16 {
    let log = member.process.log_text();
    let at = log.find("m1=http://127.0.0.1:").unwrap() + "m1=http://127.0.0.1:".len();
    let peer: String = log[at..].chars().take_while(char::is_ascii_digit).collect();
    peer.parse().unwrap()
}

/// The GOAWAY that a client gets for these pings; nothing when it may go on.
fn after_pings(port: u16, with_call: bool, pings: usize) -> Option<String> {
    let mut wire = Wire::open(port);
    if with_call {
        let headers = call_headers("/etcdserverpb.Watch/Watch", "application/grpc");
        wire.send(&frame(HEADERS, END_HEADERS, 1, &headers));
    }
    for n in 0..pings {
        wire.send(&frame(PING, 0, 0, &(n as u64).to_be_bytes()));
        loop {
            match wire.receive() {
                None => return Some("the end without a word".to_owned()),
                Some(got) if got.kind == GOAWAY => {
                    let code = u32::from_be_bytes(got.payload[4..8].try_into().unwrap());
                    let text = String::from_utf8_lossy(&got.payload[8..]).into_owned();
                    return Some(format!("{code} {text}"));
                }
                Some(got) if got.kind == PING && got.flags & 1 == 1 => break,
                Some(_) => {}
            }
        }
    }
    None
}

/// Too many pings end a connection with etcd's GOAWAY, with a call under way and without; a lower
/// `--grpc-keepalive-min-time` allows more.
#[test]
fn too_many_pings() {
    let folder = tempfile::tempdir().unwrap();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let member = Lone::plain(&program, folder.path(), kind, &[]);
        for with_call in [false, true] {
            assert_eq!(after_pings(member.client, with_call, 3), None, "{kind} {with_call}");
            let told = after_pings(member.client, with_call, 6);
            assert_eq!(told.as_deref(), Some("11 too_many_pings"), "{kind} {with_call}");
        }
        let lenient = format!("{kind}-lenient");
        let member =
            Lone::plain(&program, folder.path(), &lenient, &["--grpc-keepalive-min-time=1ns"]);
        assert_eq!(after_pings(member.client, true, 20), None, "{kind}");
    }
}

/// Floods of frames that only make work: each ends its own connection and hurts nobody else.
#[test]
fn floods_end_their_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = Lone::plain(&ours(), folder.path(), "m1", &[]);
    let headers = call_headers(RANGE, "application/grpc");
    let rapid_reset = |n: u32| {
        let stream = 2 * n + 1;
        let open = frame(HEADERS, END_HEADERS, stream, &headers);
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let empty_data = |n: u32| match n {
        0 => frame(HEADERS, END_HEADERS, 1, &headers),
        _ => frame(DATA, 0, 1, &[]),
    };
    // A block that never ends: with CONTINUATION frames that hold something, and with empty ones.
    let endless = |n: u32| match n {
        0 => frame(HEADERS, 0, 1, &headers),
        _ => frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b'].repeat(2000)),
    };
    let endless_empty = |n: u32| match n {
        0 => frame(HEADERS, 0, 1, &headers),
        _ => frame(CONTINUATION, 0, 1, &[]),
    };
    type Flood<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>);
    let floods: [Flood<'_>; 6] = [
        ("rapid reset", &rapid_reset),
        ("settings", &|_| frame(SETTINGS, 0, 0, &[])),
        ("pings", &|_| frame(PING, 0, 0, &[0; 8])),
        ("empty data", &empty_data),
        ("endless header block", &endless),
        ("endless header block of nothing", &endless_empty),
    ];
    for (name, make) in floods {
        let mut wire = Wire::open(member.client);
        let mut reader = Wire(wire.0.try_clone().unwrap());
        let reading = std::thread::spawn(move || while reader.receive().is_some() {});
        let mut n = 0;
        let is_ended = loop {
            let batch: Vec<u8> = (n..n + 100).flat_map(make).collect();
            n += 100;
            if !wire.send(&batch) {
                break true;
            }
            if n > 400_000 {
                break false;
            }
        };
        assert!(is_ended, "{name}: {n} frames were taken");
        drop(wire);
        reading.join().unwrap();
        is_well(&mut member, name);
    }
}

/// A small header block that unpacks to a large one is refused, and nothing of it is kept.
#[test]
fn header_bombs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = Lone::plain(&ours(), folder.path(), "m1", &[]);
    // One long header into the table, then a thousand references to it.
    let mut block = vec![0x40, 1, b'a', 0x7f, 0xe1, 0x1e];
    block.extend_from_slice(&[b'x'; 4064]);
    block.extend_from_slice(&[0xbe; 12_000]);
    let mut wire = Wire::open(member.client);
    for stream in 0..200 {
        let block = if stream == 0 { &block[..] } else { &block[4070..] };
        if !wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, block)) {
            break;
        }
    }
    is_well(&mut member, "header bombs");
}

/// Bytes that are nothing, cut-off frames, frames that are too long, calls that are none: on the client and the peer
/// port, plain and TLS.
#[test]
fn nonsense_hurts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&Leaf { file: "server", ..Leaf::default() }).unwrap();
    let (cert, key) = (
        format!("--cert-file={}", server.cert.display()),
        format!("--key-file={}", server.key.display()),
    );
    let both = "--listen-client-urls=http://127.0.0.1:{client},https://127.0.0.1:{client}";
    let mut member = Lone::plain(&ours(), folder.path(), "m1", &[both, &cert, &key]);
    let peer = peer_port(&member);
    let headers = call_headers(RANGE, "application/grpc");
    let open = frame(HEADERS, END_HEADERS, 1, &headers);
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let noise: Vec<u8> =
        (0..65_536_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let call = |message: &[u8]| [&begin[..], &open, &frame(DATA, END_STREAM, 1, message)].concat();
    let inputs: [(&str, Vec<u8>); 14] = [
        ("nothing", Vec::new()),
        ("noise", noise.clone()),
        ("a preface and noise", [PREFACE, &noise].concat()),
        ("half a preface", PREFACE[..11].to_vec()),
        ("a frame cut off", [&begin[..], &open[..20]].concat()),
        (
            "a frame that is too long",
            [&begin[..], &[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]].concat(),
        ),
        ("a stream that was never opened", [&begin[..], &frame(DATA, 0, 77, b"x")].concat()),
        (
            "headers that are no HPACK",
            [&begin[..], &frame(HEADERS, END_HEADERS, 1, &[0xff; 50])].concat(),
        ),
        ("settings of the wrong length", [PREFACE, &frame(SETTINGS, 0, 0, &[1, 2, 3])].concat()),
        ("a message of four gigabytes", call(&[0, 0xff, 0xff, 0xff, 0xff, 1])),
        ("a compressed message without a name", call(&[1, 0, 0, 0, 1, 1])),
        ("a message that is no protobuf", call(&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff])),
        ("a TLS hello cut off", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        ("a TLS record of noise", [&[0x16, 3, 1, 0x40, 0][..], &noise[..16_384]].concat()),
    ];
    for port in [member.client, peer] {
        for (name, input) in &inputs {
            for _ in 0..20 {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                // The server may be gone before all is written; that is one of the right answers.
                stream.write_all(input).ok();
                stream.shutdown(std::net::Shutdown::Write).ok();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.read_to_end(&mut Vec::new()).ok();
            }
            is_well(&mut member, &format!("{name} on {port}"));
        }
    }
    let log = member.process.log_text();
    assert!(!log.contains("panicked"), "{log}");
}

/// A call with another content type than gRPC's is turned away with 415, as by etcd.
#[test]
fn other_content_types_are_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let member = Lone::plain(&program, folder.path(), kind, &[]);
        let flags = ["-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}"];
        let url = format!("http://127.0.0.1:{}{RANGE}", member.client);
        let args = [&flags[..], &["-H", "content-type: text/plain", "-d", "x", &url]].concat();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        // etcd ends the stream before it has read the body, which curl takes for an error (92) now and then; ours reads it.
        let is_early = |answer: &Answer| kind == "etcd" && answer.code == 92;
        let answer = (0..100).map(|_| run(Path::new("curl"), &args)).find(|said| !is_early(said));
        assert_eq!(answer.unwrap().good(), "415", "{kind}");
    }
}

/// Handshakes that never end (GHSA-6vch-q96h-7gc3) and requests that never end (PR #22143) keep nobody else out.
#[test]
fn half_open_connections_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&Leaf { file: "server", ..Leaf::default() }).unwrap();
    let (cert, key) = (
        format!("--cert-file={}", server.cert.display()),
        format!("--key-file={}", server.key.display()),
    );
    let urls = [
        "--listen-client-urls=https://127.0.0.1:{client}",
        "--advertise-client-urls=https://127.0.0.1:{client}",
    ];
    let mut member = Lone::plain(&ours(), folder.path(), "m1", &[urls[0], urls[1], &cert, &key]);
    let flags = vec![
        format!("--endpoints=https://127.0.0.1:{}", member.client),
        format!("--cacert={}", pki.ca().display()),
    ];
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut held = Vec::new();
    for n in 0..3000 {
        let mut stream = TcpStream::connect(("127.0.0.1", member.client)).unwrap();
        if n % 2 == 0 {
            stream.write_all(&hello).ok();
        }
        held.push(stream);
        if n % 500 == 0 {
            etcdctl(Version::V3_7_1, &flags, "put a b").good();
        }
    }
    etcdctl(Version::V3_7_1, &flags, "put a b").good();
    // All but the newest have been told to go, and soon those too.
    until("the half-open ones are gone", || {
        held.retain_mut(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            let end = stream.read(&mut [0; 64]);
            !matches!(end, Ok(0) | Err(_))
                || end.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
        });
        held.is_empty()
    });
    let log = member.process.log_text();
    assert!(log.contains("TLS handshake timed out"), "{}", member.process.log_end());
    let peak = member.process.usage().unwrap().peak_rss_bytes;
    assert!(member.process.is_running() && peak < PEAK_MAX, "{} MiB", peak >> 20);
}

/// A thousand requests that stop in the middle of their head leave room for others.
#[test]
fn slow_heads_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = Lone::plain(&ours(), folder.path(), "m1", &[]);
    let mut held = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(("127.0.0.1", member.client)).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
        held.push(stream);
    }
    is_well(&mut member, "a thousand slow heads");
    drop(held);
}

/// On the peer port such requests are cut after ten seconds. (On the client port etcd gives them five minutes;
/// `slow_heads_are_cut` beside the code shows that cut with a shorter time.)
#[test]
fn slow_heads_on_the_peer_port_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let member = Lone::plain(&ours(), folder.path(), "m1", &[]);
    let mut stream = TcpStream::connect(("127.0.0.1", peer_port(&member))).unwrap();
    stream.write_all(b"GET /members HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut said = Vec::new();
    let end = stream.read_to_end(&mut said);
    let is_end = !matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(is_end, "still open after a minute");
    assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
}
