//! Requests that never end and answers that nobody takes, more of both than fits into memory: the member stays small and
//! serves others, at once what is small, and what is large as soon as those who do nothing have given way.

use super::ask::{Lone, ours, until};
use super::calls::{connect, framed, open, send};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use prost::Message;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
    WatchRequest,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the member may take for requests or answers in flight, and what it may need in all.
const BUDGET: usize = 32 << 20;
const PEAK_MAX: u64 = 500 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

const PUT: &str = "/etcdserverpb.KV/Put";

fn member(folder: &Path) -> Lone {
    let (requests, answers) = (
        format!("--max-request-bytes-in-flight={BUDGET}"),
        format!("--max-answer-bytes-in-flight={BUDGET}"),
    );
    Lone::plain(&ours(), folder, "m1", &[&requests, &answers])
}

fn put(key: &str, bytes: usize) -> PutRequest {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), vec![b'v'; bytes].into());
    PutRequest { key, value, ..PutRequest::default() }
}

fn all() -> RangeRequest {
    RangeRequest { key: "k".into(), range_end: "l".into(), ..RangeRequest::default() }
}

/// A whole call, up to the head of its answer.
async fn begin(client: &SendRequest<Bytes>, path: &str, message: &impl Message) -> RecvStream {
    let (response, mut stream) = open(client, path, &[]).await;
    send(&mut stream, framed(message), true).await;
    response.await.unwrap().into_body()
}

/// The status of a call, and how many bytes it answered.
async fn call(port: u16, path: &str, message: &impl Message) -> (String, usize) {
    let client = connect(port, 1 << 20).await;
    let (response, mut stream) = open(&client, path, &[]).await;
    send(&mut stream, framed(message), true).await;
    let Ok(response) = response.await else { return ("reset".to_owned(), 0) };
    let status = |headers: &http::HeaderMap| {
        headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
    };
    if let Some(status) = status(response.headers()) {
        return (status, 0);
    }
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(Ok(data)) = body.data().await {
        bytes += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = body.trailers().await.ok().flatten();
    (trailers.as_ref().and_then(status).unwrap_or_else(|| "reset".to_owned()), bytes)
}

/// Calls until the call is good.
async fn until_good(port: u16, path: &str, message: &impl Message) -> usize {
    let start = Instant::now();
    loop {
        match call(port, path, message).await {
            (status, bytes) if status == "0" => return bytes,
            (status, _) => assert!(start.elapsed() < PATIENCE, "{path} is still refused: {status}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A value of the member's metrics.
fn metric(port: u16, name: &str) -> u64 {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse::<f64>().unwrap() as u64
}

#[track_caller]
fn is_small(member: &mut Lone, after: &str) {
    let peak = member.process.usage().unwrap().peak_rss_bytes;
    println!("after {after}: {} MiB at most", peak >> 20);
    assert!(member.process.is_running() && peak < PEAK_MAX, "{after}: {} MiB", peak >> 20);
}

/// Six hundred gRPC requests of which 900 KiB come and then nothing more: most are refused at once, the others when they
/// stand in the way; a small write is served all the time and a large one again in the end.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_requests_that_never_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let port = member.client;
    let part = framed(&put("never", 1_400_000)).slice(..900 << 10);
    let mut held = Vec::new();
    for n in 0..600 {
        if n % 100 == 0 {
            held.push((connect(port, 1 << 20).await, Vec::new()));
        }
        let (client, calls) = held.last_mut().unwrap();
        let (response, mut stream) = open(client, PUT, &[]).await;
        send(&mut stream, part.clone(), false).await;
        calls.push((response, stream));
    }
    let refused = || metric(port, "quorate_requests_refused_total{reason=\"full\"}");
    until("most are refused", || refused() > 500);
    assert!(metric(port, "quorate_request_bytes_in_flight") <= BUDGET as u64);
    assert_eq!(call(port, PUT, &put("small", 10)).await.0, "0");
    until_good(port, PUT, &put("large", 1_400_000)).await;
    assert!(metric(port, "quorate_requests_refused_total{reason=\"stalled\"}") > 0);
    is_small(&mut member, "unfinished gRPC requests");
    drop(held);
    until("nothing is held", || metric(port, "quorate_request_bytes_in_flight") == 0);
}

/// Calls that only begin are counted too: a stream costs memory before its first byte.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_never_ask() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let port = member.client;
    let client = connect(port, 1 << 20).await;
    let mut held = Vec::new();
    for _ in 0..8000 {
        held.push(open(&client, PUT, &[]).await);
    }
    let refused = || metric(port, "quorate_requests_refused_total{reason=\"full\"}");
    until("the last are refused", || refused() > 3000);
    until_good(port, PUT, &put("small", 10)).await;
    is_small(&mut member, "calls without a request");
}

/// Whether a request was refused, by now, for its place in memory.
fn is_refused(socket: &TcpStream) -> bool {
    let mut head = [0; 12];
    socket.set_nonblocking(true).unwrap();
    let n = socket.peek(&mut head).unwrap_or(0);
    [&b"HTTP/1.1 429"[..], b"HTTP/1.1 504"].contains(&&head[..n])
}

/// The same on the JSON gateway and over websockets.
#[test]
fn json_that_never_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let port = member.client;
    let connect = || {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let begun = ["{\"key\":\"", &"Y".repeat(2 << 20)].concat();
    let posts: Vec<_> = (0..30)
        .map(|_| {
            let mut socket = connect();
            let head = "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n";
            // A refused one is closed while it sends.
            let _ = socket.write_all([head, &begun].concat().as_bytes());
            socket
        })
        .collect();
    is_small(&mut member, "unfinished JSON");
    // Which ones depends on how fast they came: those that found no room, or those that stood in the way of others.
    until("somebody is told why", || posts.iter().any(is_refused));
    drop(posts);
    until("nothing is held", || metric(port, "quorate_request_bytes_in_flight") == 0);
    let sockets: Vec<_> = (0..30)
        .map(|_| {
            let mut socket = connect();
            let head = "GET /v3/watch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            socket.write_all(head.as_bytes()).unwrap();
            socket.read_exact(&mut [0; 12]).unwrap();
            // One frame of nine million bytes, masked with nothing.
            let mut frame = vec![0x81, 0xff];
            frame.extend_from_slice(&9_000_000_u64.to_be_bytes());
            frame.extend_from_slice(&[0; 4]);
            frame.extend_from_slice(begun.as_bytes());
            let _ = socket.write_all(&frame);
            socket
        })
        .collect();
    is_small(&mut member, "unfinished websocket messages");
    drop(sockets);
    until("nothing is held", || metric(port, "quorate_request_bytes_in_flight") == 0);
}

/// Clients that ask for five megabytes two hundred times and read none of it, by reads, by streams and by writes: the
/// memory stays in bounds, and whoever reads what he asks for is served again as soon as theirs has given way.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let port = member.client;
    for n in 0..12 {
        assert_eq!(call(port, PUT, &put(&format!("k{n:02}"), 400_000)).await.0, "0");
    }
    let range = RequestOp { request: Some(Op::RequestRange(all())) };
    let write = RequestOp { request: Some(Op::RequestPut(put("other", 1))) };
    let txn = TxnRequest { success: vec![write, range], ..TxnRequest::default() };
    let delete = DeleteRangeRequest { key: "k00".into(), prev_kv: true, ..Default::default() };
    // Not even the first byte of an answer is wanted here, and a little of it there.
    for window in [0, 100] {
        let greedy = connect(port, window).await;
        let mut unread = Vec::new();
        for _ in 0..70 {
            let (range, txn) = (all(), txn.clone());
            let client = greedy.clone();
            unread.push(tokio::spawn(async move {
                (
                    begin(&client, "/etcdserverpb.KV/Range", &range).await,
                    begin(&client, "/etcdserverpb.KV/RangeStream", &range).await,
                    begin(&client, "/etcdserverpb.KV/Txn", &txn).await,
                )
            }));
        }
        let taken = || metric(port, "quorate_answer_bytes_in_flight");
        until("the budget is full", || taken() as usize > BUDGET - (5 << 20));
        let whole = until_good(port, "/etcdserverpb.KV/Range", &all()).await;
        assert!(whole > 4_000_000, "{whole}");
        assert!(until_good(port, "/etcdserverpb.KV/RangeStream", &all()).await > 4_000_000);
        assert!(metric(port, "quorate_answers_dropped_total") > 0);
        is_small(&mut member, "answers that nobody takes");
        drop(greedy);
        unread.iter().for_each(tokio::task::JoinHandle::abort);
    }
    // The values that a delete shows are counted too, and are told to whoever takes them.
    assert!(until_good(port, "/etcdserverpb.KV/DeleteRange", &delete).await > 400_000);
    until("nothing is held", || metric(port, "quorate_answer_bytes_in_flight") == 0);
}

fn watch_from(start_revision: i64) -> WatchRequest {
    let (key, prev_kv) = ("w".into(), true);
    let create = WatchCreateRequest { key, start_revision, prev_kv, ..Default::default() };
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

/// Two hundred watchers take nothing of eighty megabytes of events each, which would be sixteen gigabytes: memory stays in
/// bounds, writes go on, and a watcher that reads gets all of them.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_takes() {
    unread_events(200, 200, 200_000, PEAK_MAX).await;
}

/// The same with events of nearly three megabytes, of which one for each of four hundred streams, made and encoded, would be
/// more than two gigabytes.
#[tokio::test(flavor = "multi_thread")]
async fn large_events_that_nobody_takes() {
    unread_events(400, 5, 1_400_000, 1 << 30).await;
}

async fn unread_events(n_streams: u64, n_events: usize, value_bytes: usize, peak_max: u64) {
    const WATCH: &str = "/etcdserverpb.Watch/Watch";
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let port = member.client;
    let mut held = Vec::new();
    // Not even the first byte is wanted here, and a little of it there.
    for window in [0, 100_000] {
        for _ in 0..n_streams / 200 {
            let client = connect(port, window).await;
            for _ in 0..100 {
                let (response, mut stream) = open(&client, WATCH, &[]).await;
                send(&mut stream, framed(&watch_from(0)), false).await;
                held.push((client.clone(), response, stream));
            }
        }
    }
    until("all watch", || metric(port, "etcd_debugging_mvcc_watcher_total") == n_streams);
    for _ in 0..n_events {
        assert_eq!(call(port, PUT, &put("w", value_bytes)).await.0, "0");
    }
    let client = connect(port, 1 << 20).await;
    let (response, mut stream) = open(&client, WATCH, &[]).await;
    send(&mut stream, framed(&watch_from(1)), false).await;
    let mut body = response.await.unwrap().into_body();
    let mut bytes = 0;
    // Each event but the first has the value before it too.
    while bytes < (2 * n_events - 1) * value_bytes {
        let data = tokio::time::timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
        bytes += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let peak = member.process.usage().unwrap().peak_rss_bytes;
    println!("{n_streams} streams, events of {value_bytes} bytes: {} MiB at most", peak >> 20);
    assert!(member.process.is_running() && peak < peak_max, "{} MiB", peak >> 20);
    drop(held);
    until("they are gone", || metric(port, "etcd_debugging_mvcc_watcher_total") <= 1);
}
