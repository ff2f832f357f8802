//! Closed-loop clients for a while: warm up, then count what ends inside the window, and the server's CPU over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::case::Case;
use super::histogram::Histogram;
use super::operation::{Client, GET_KEYS, RANGE_KEYS, connect, key, put, value};

/// Before counting begins: connections settle, caches fill.
const WARM_UP: Duration = Duration::from_millis(500);

/// What one case did in one window.
pub struct Sample {
    pub latencies: Histogram,
    pub operations: u64,
    pub errors: u64,
    pub elapsed: Duration,
    pub server_cpu: Duration,
}

/// Where a run stands; shared by all clients.
pub struct Phase {
    state: AtomicU8,
    pub errors: AtomicU64,
}

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

impl Phase {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WARMING), errors: AtomicU64::new(0) })
    }

    pub fn is_counting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == COUNTING
    }

    pub fn is_over(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OVER
    }

    /// Lets the clients warm up, counts for `window`, and ends them; gives the window's real length and the CPU in it.
    pub async fn pass(
        &self,
        window: Duration,
        cpu: &dyn Fn() -> Result<Duration>,
    ) -> Result<(Duration, Duration)> {
        tokio::time::sleep(WARM_UP).await;
        let (cpu_before, start) = (cpu()?, Instant::now());
        self.state.store(COUNTING, Ordering::Relaxed);
        tokio::time::sleep(window).await;
        self.state.store(OVER, Ordering::Relaxed);
        Ok((start.elapsed(), cpu()?.saturating_sub(cpu_before)))
    }
}

/// Puts the keys that gets and ranges read.
pub async fn preload(urls: &[String]) -> Result<()> {
    let channels = connect(urls, 8).await?;
    let keys = (0..GET_KEYS).map(|n| key("get", n)).chain((0..RANGE_KEYS).map(|n| key("range", n)));
    let keys: Arc<Vec<_>> = Arc::new(keys.collect());
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for channel in channels.iter().cycle().take(128) {
        let (keys, next, mut kv) = (keys.clone(), next.clone(), KvClient::new(channel.clone()));
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed) as usize;
                let Some(key) = keys.get(n) else { return anyhow::Ok(()) };
                kv.put(put(key.clone(), value(), 0)).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Runs one case of unary work.
pub async fn drive(
    urls: &[String],
    case: Case,
    window: Duration,
    cpu: &dyn Fn() -> Result<Duration>,
) -> Result<Sample> {
    let channels: Vec<Channel> = connect(urls, case.connections()).await?;
    let phase = Phase::new();
    let mut tasks = JoinSet::new();
    for (n, channel) in channels.iter().cycle().take(case.clients).enumerate() {
        tasks.spawn(client(Client::new(channel.clone(), n), case, phase.clone()));
    }
    let (elapsed, server_cpu) = phase.pass(window, cpu).await?;
    let (mut latencies, mut last_error) = (Histogram::default(), None);
    while let Some(ended) = tasks.join_next().await {
        let (own, error) = ended?;
        latencies.merge(&own);
        last_error = error.or(last_error);
    }
    let errors = phase.errors.load(Ordering::Relaxed);
    if let Some(error) = last_error {
        eprintln!("bench: {case}: {errors} errors, one of them: {error:#}");
    }
    if latencies.count() == 0 {
        bail!("{case}: no operation succeeded");
    }
    Ok(Sample { operations: latencies.count(), latencies, errors, elapsed, server_cpu })
}

async fn client(
    mut client: Client,
    case: Case,
    phase: Arc<Phase>,
) -> (Histogram, Option<anyhow::Error>) {
    let (mut latencies, mut last_error) = (Histogram::default(), None);
    while !phase.is_over() {
        let start = Instant::now();
        match client.once(case.work).await {
            Ok(()) if phase.is_counting() => {
                latencies.record(start.elapsed().as_micros().try_into().unwrap_or(u64::MAX));
            }
            Ok(()) => {}
            Err(error) => {
                phase.errors.fetch_add(1, Ordering::Relaxed);
                last_error = Some(error);
                // A refusal comes back at once; without a rest it would count as load.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    (latencies, last_error)
}
