//! Requests that cost the server more than the client: it stays up, serves others, and keeps its memory.

use super::stage::{PATIENCE, Stage, always, nested, ours, put, range};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use std::time::{Duration, Instant};

/// What is answered at last, when others have been turned away for a while.
async fn until_served<T, F: Future<Output = Result<T, tonic::Status>>>(call: impl Fn() -> F) -> T {
    let start = Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(status) if start.elapsed() > PATIENCE => panic!("not served any more: {status}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// A transaction as deep as the door lets pass can be read again: by the followers, and by a member that starts anew.
/// One that could not be once froze a cluster for good, and nobody had to log in for it.
#[tokio::test]
async fn the_deepest_transactions() {
    let mut stage = Stage::start(&ours(), 3, &[]);
    let mut taken = Vec::new();
    for levels in 40..=52 {
        for innermost in [pb::TxnRequest::default(), always(vec![Op::RequestPut(put("a", "b"))])] {
            let at = levels % 3;
            if stage.nobody_at(at).txn(nested(innermost, levels)).await.is_ok() {
                taken.push(levels);
            }
        }
    }
    assert!(taken.contains(&40) && !taken.contains(&52), "{taken:?}");
    for member in 0..3 {
        stage.nobody_at(member).put("a", "b").await.unwrap();
    }
    for member in 0..3 {
        let process = &mut stage.cluster.members[member].process;
        process.kill().unwrap();
        process.start().unwrap();
        process.wait_ready(PATIENCE).unwrap();
        let nobody = stage.nobody_at(member);
        until_served(|| nobody.put("a", "c")).await;
    }
}

/// Forty-three thousand deletes and as many puts in one transaction are looked at in seconds: not each put against each
/// delete.
#[tokio::test]
async fn the_widest_transaction() {
    let stage = Stage::start(&ours(), 1, &[]);
    let mut n = 0_u32;
    let mut leaf = |is_put: bool| {
        let op = || {
            n += 1;
            let key = bytes::Bytes::copy_from_slice(&n.to_be_bytes());
            match is_put {
                true => Op::RequestPut(pb::PutRequest { key, ..Default::default() }),
                false => {
                    let range_end = [&key[..], b"0"].concat().into();
                    Op::RequestDeleteRange(pb::DeleteRangeRequest {
                        key,
                        range_end,
                        prev_kv: false,
                    })
                }
            }
        };
        always(std::iter::repeat_with(op).take(24).collect())
    };
    let mut half = |is_put: bool| {
        let middle = (0..40).map(|_| {
            Op::RequestTxn(always((0..45).map(|_| Op::RequestTxn(leaf(is_put))).collect()))
        });
        Op::RequestTxn(always(middle.collect()))
    };
    let txn = always(vec![half(false), half(true)]);
    stage.nobody().txn(txn).await.unwrap();
    assert_eq!(stage.nobody().get("\0").await.unwrap().header.unwrap().revision, 2);
}

/// Hundreds of streamed ranges and snapshots that nobody reads hold neither the threads that others need nor the memory.
#[tokio::test]
async fn answers_that_nobody_reads() {
    let stage = Stage::start(&ours(), 1, &["--max-answer-bytes-in-flight=33554432"]);
    let reader = stage.nobody();
    let value = "x".repeat(400_000);
    for n in 0..12 {
        reader.put(&format!("k{n}"), &value).await.unwrap();
    }
    let greedy = stage.nobody();
    let mut unread = Vec::new();
    for _ in 0..600 {
        unread.push(greedy.kv().range_stream(greedy.request(range("k", "l"))).await.unwrap());
    }
    let mut refused = 0;
    let mut snapshots = Vec::new();
    for _ in 0..40 {
        let request = greedy.request(pb::SnapshotRequest {});
        match greedy.maintenance().snapshot(request).await {
            Ok(snapshot) => snapshots.push(snapshot),
            Err(status) => {
                assert_eq!(status.message(), "etcdserver: too many requests");
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && !snapshots.is_empty(), "{refused} of 40 refused");
    // Several connections, so that each serving thread has one.
    for _ in 0..4 {
        let reader = stage.nobody();
        let count = || {
            let request = pb::RangeRequest { count_only: true, ..range("k", "l") };
            let mut kv = reader.kv();
            let request = reader.request(request);
            async move { kv.range(request).await }
        };
        assert_eq!(until_served(count).await.into_inner().count, 12);
    }
    let peak = stage.cluster.usage().unwrap().peak_rss_bytes;
    assert!(peak < 500 << 20, "{} MiB", peak >> 20);
}
