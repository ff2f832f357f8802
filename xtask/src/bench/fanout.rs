//! Watch fan-out: clients put, and every one of 1,000 watchers gets every event.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::case::Case;
use super::drive::{Phase, Sample};
use super::histogram::Histogram;
use super::operation::{VALUE_BYTES, connect, put};

const STREAMS: usize = 100;
const WATCHERS_PER_STREAM: usize = 10;
const CONNECTIONS: usize = 10;

/// Runs one case of watching; one operation is one event that a watcher received.
pub async fn fan_out(
    urls: &[String],
    case: Case,
    window: Duration,
    cpu: &dyn Fn() -> Result<Duration>,
) -> Result<Sample> {
    let channels = connect(urls, CONNECTIONS).await?;
    let (phase, birth) = (Phase::new(), Instant::now());
    let mut readers = JoinSet::new();
    let mut senders = Vec::new();
    for channel in channels.iter().cycle().take(STREAMS) {
        let (sender, stream) = open(channel).await?;
        senders.push(sender);
        readers.spawn(read(stream, phase.clone(), birth));
    }
    let mut writers = JoinSet::new();
    for (n, channel) in
        connect(urls, case.connections()).await?.iter().cycle().take(case.clients).enumerate()
    {
        writers.spawn(write(KvClient::new(channel.clone()), n, phase.clone(), birth));
    }
    let (elapsed, server_cpu) = phase.pass(window, cpu).await?;
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    // Closing our side ends the streams; what is still on its way is not counted.
    drop(senders);
    let mut latencies = Histogram::default();
    while let Some(ended) = readers.join_next().await {
        latencies.merge(&ended??);
    }
    if latencies.count() == 0 {
        bail!("{case}: no event arrived");
    }
    let errors = phase.errors.load(Ordering::Relaxed);
    Ok(Sample { operations: latencies.count(), latencies, errors, elapsed, server_cpu })
}

/// One stream with its watchers, all of them confirmed by the server.
async fn open(channel: &Channel) -> Result<(mpsc::Sender<WatchRequest>, Streaming<WatchResponse>)> {
    let (sender, receiver) = mpsc::channel(WATCHERS_PER_STREAM);
    for _ in 0..WATCHERS_PER_STREAM {
        let create = WatchCreateRequest {
            key: "bench/watch/".into(),
            range_end: "bench/watch0".into(),
            ..WatchCreateRequest::default()
        };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        sender.send(request).await.context("the stream is not open yet")?;
    }
    let mut client = WatchClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let mut stream = client.watch(ReceiverStream::new(receiver)).await?.into_inner();
    for _ in 0..WATCHERS_PER_STREAM {
        let answer = stream.message().await?.context("the server ended the watch stream")?;
        if !answer.created || answer.canceled {
            bail!("a watcher was not created: {}", answer.cancel_reason);
        }
    }
    Ok((sender, stream))
}

async fn read(
    mut stream: Streaming<WatchResponse>,
    phase: Arc<Phase>,
    birth: Instant,
) -> Result<Histogram> {
    let mut latencies = Histogram::default();
    while !phase.is_over() {
        let Some(answer) = stream.message().await? else { break };
        if !phase.is_counting() {
            continue;
        }
        let now = micros_since(birth);
        for event in &answer.events {
            let value = event.kv.as_ref().map(|kv| kv.value.clone()).unwrap_or_default();
            latencies.record(now.saturating_sub(stamp_of(&value)));
        }
    }
    Ok(latencies)
}

async fn write(
    mut kv: KvClient<Channel>,
    n: usize,
    phase: Arc<Phase>,
    birth: Instant,
) -> Result<()> {
    let key: Bytes = format!("bench/watch/{n:08}").into();
    while !phase.is_over() {
        let mut value = vec![b'v'; VALUE_BYTES];
        value[..8].copy_from_slice(&micros_since(birth).to_le_bytes());
        kv.put(put(key.clone(), value.into(), 0)).await?;
    }
    Ok(())
}

fn micros_since(birth: Instant) -> u64 {
    birth.elapsed().as_micros().try_into().unwrap_or(u64::MAX)
}

fn stamp_of(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |stamp| u64::from_le_bytes(*stamp))
}
