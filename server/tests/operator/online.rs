//! What goes on meanwhile: calls during a defragmentation, memory and calls during a flood of large answers.

use super::stage::{Caller, ours};
use bytes::Bytes;
use http::uri::PathAndQuery;
use quorate_proto::etcdserverpb as pb;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::Request;
use tonic::client::Grpc;

/// The longest time between two answers, and how many there were.
async fn longest_pause<F: Future<Output = ()>>(
    stop: Arc<AtomicBool>,
    mut call: impl FnMut(u64) -> F,
) -> (Duration, u64) {
    let (mut longest, mut n) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        call(n).await;
        longest = longest.max(start.elapsed());
        n += 1;
    }
    (longest, n)
}

/// Reads and writes go on while a member defragments. The longest pause is printed beside the time it took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defragmentation_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = ours(folder.path(), 1, &[]);
    let caller = Caller::to(&cluster.client_urls()[0]).await;
    let value = Bytes::from(vec![b'x'; 100 << 10]);
    for n in 0..600 {
        caller.put(&format!("big{}", n % 300), value.clone()).await.unwrap();
    }
    let revision = caller.status().await.header.unwrap().revision;
    let compaction = pb::CompactionRequest { revision, physical: true };
    caller.kv().compact(compaction).await.unwrap();
    let before = caller.status().await.db_size;
    let stop = Arc::new(AtomicBool::new(false));
    let (reader, writer) = (caller.clone(), caller.clone());
    let reads = tokio::spawn(longest_pause(stop.clone(), move |n| {
        let (reader, key) = (reader.clone(), format!("big{}", n % 300));
        async move {
            let request = pb::RangeRequest { key: key.into(), ..Default::default() };
            assert_eq!(reader.kv().range(request).await.unwrap().into_inner().count, 1);
        }
    }));
    let writes = tokio::spawn(longest_pause(stop.clone(), move |n| {
        let writer = writer.clone();
        async move { writer.put(&format!("small{n}"), "v").await.unwrap() }
    }));
    let start = Instant::now();
    let mut n_rounds = 0;
    while n_rounds < 3 {
        caller.maintenance().defragment(pb::DefragmentRequest {}).await.unwrap();
        n_rounds += 1;
    }
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let (read_pause, n_reads) = reads.await.unwrap();
    let (write_pause, n_writes) = writes.await.unwrap();
    let after = caller.status().await.db_size;
    println!(
        "defragmentation of {before} to {after} bytes, three times in {took:?}: {n_reads} reads, longest {read_pause:?}; \
         {n_writes} writes, longest {write_pause:?}"
    );
    assert!(n_reads > 10 && n_writes > 10, "{n_reads} reads, {n_writes} writes");
    assert!(after < before, "{before} to {after} bytes");
}

/// Many clients that ask for a large range and do not read the answer take no more memory than the budget allows; other
/// calls are answered meanwhile, and large ones again when the clients are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_large_answers_are_held() {
    const CLIENTS: usize = 48;
    const ANSWER_BYTES: u64 = 32 << 20;
    let folder = tempfile::tempdir().unwrap();
    let cluster = ours(folder.path(), 1, &["--max-answer-bytes-in-flight=67108864"]);
    let url = cluster.client_urls()[0].clone();
    let caller = Caller::to(&url).await;
    for n in 0..ANSWER_BYTES >> 20 {
        caller.put(&format!("big{n}"), vec![b'x'; 1 << 20]).await.unwrap();
    }
    let usage = || cluster.members[0].process.usage().unwrap().peak_rss_bytes;
    let before = usage();
    let all = pb::RangeRequest { key: "b".into(), range_end: "c".into(), ..Default::default() };
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (url, all) = (url.clone(), all.clone());
        flood.spawn(async move {
            let mut grpc = Grpc::new(Caller::to(&url).await.0);
            grpc.ready().await.unwrap();
            let path = PathAndQuery::from_static("/etcdserverpb.KV/Range");
            let codec = tonic_prost::ProstCodec::<pb::RangeRequest, pb::RangeResponse>::default();
            // Read as a stream, so that it is in our hands not to read it.
            let answer = grpc.server_streaming(Request::new(all), path, codec).await;
            let is_refused = answer.is_err();
            std::future::pending::<()>().await;
            is_refused
        });
    }
    let end = Instant::now() + Duration::from_secs(6);
    let mut n_small = 0;
    while Instant::now() < end {
        caller.put("small", "v").await.unwrap();
        n_small += 1;
    }
    let during = usage();
    flood.shutdown().await;
    let whole = caller.kv().range(all).await.unwrap().into_inner();
    assert_eq!(whole.kvs.len() as u64, ANSWER_BYTES >> 20);
    let (asked, grown) = (CLIENTS as u64 * ANSWER_BYTES, during.saturating_sub(before));
    println!(
        "{CLIENTS} clients asked for {} MiB and read nothing: peak memory grew by {} MiB; {n_small} puts meanwhile",
        asked >> 20,
        grown >> 20
    );
    assert!(n_small > 10);
    assert!(grown < asked / 3, "{grown} bytes for {asked}");
}
