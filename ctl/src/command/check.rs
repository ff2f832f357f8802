//! `check`: is this cluster fast enough (`perf`), how much memory does data take (`datascale`).

use super::contest::interrupted;
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::Answer;
use crate::terminal::print_line;
use bytes::Bytes;
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::{Client, http_get, prefix_end};
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of key and value that are put.
const KEY_BYTES: usize = 256;
const VALUE_BYTES: usize = 1024;

/// How long `check perf` writes.
const PERF_TIME: Duration = Duration::from_secs(60);

/// Limits of a good cluster.
const SLOWEST_MAX: f64 = 0.5;
const DEVIATION_MAX: f64 = 0.1;
const THROUGHPUT_MIN: f64 = 0.9;

/// Checks speed and memory of a cluster by writing to it
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Writes for a minute at a fixed rate and tells whether the cluster keeps up
    Perf {
        #[command(flatten)]
        common: Common,
        /// Where to write; there must be no keys there
        #[arg(long, default_value = "/etcdctl-check-perf/")]
        prefix: String,
    },
    /// Writes many keys and tells how much memory the member takes for them
    Datascale {
        #[command(flatten)]
        common: Common,
        /// Where to write; there must be no keys there
        #[arg(long, default_value = "/etcdctl-check-datascale/")]
        prefix: String,
    },
}

#[derive(clap::Args, Debug)]
struct Common {
    #[arg(hide = true)]
    rest: Vec<OsString>,
    /// s, m, l or xl: how many clients write how much
    #[arg(long, default_value = "s")]
    load: String,
    /// Compact afterwards
    #[arg(long)]
    auto_compact: bool,
    /// Defragment afterwards
    #[arg(long)]
    auto_defrag: bool,
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    match args.action {
        Action::Perf { common, prefix } => perf(&common, &prefix, session).await,
        Action::Datascale { common, prefix } => data_scale(&common, &prefix, session).await,
    }
}

/// Clients and, of `perf`, the rate per second or, of `datascale`, the number of keys.
fn load(name: &str, models: [(u64, u64); 4]) -> Outcome<(u64, u64)> {
    match name.to_lowercase().as_str() {
        "s" | "small" => Ok(models[0]),
        "m" | "medium" => Ok(models[1]),
        "l" | "large" => Ok(models[2]),
        "xl" | "xlarge" => Ok(models[3]),
        _ => Err(Failure::new(exit::BAD_FEATURE, format!("unknown load option {name}"))),
    }
}

async fn refuse_keys(prefix: &str, session: &Session) -> Outcome {
    let request = pb::RangeRequest {
        key: prefix.to_owned().into(),
        range_end: prefix_end(prefix.as_bytes()),
        limit: 1,
        ..Default::default()
    };
    if session.client.kv().range(request).await?.kvs.is_empty() {
        return Ok(());
    }
    let quoted = crate::go::quote(prefix.as_bytes());
    let text = format!(
        "prefix {quoted} has keys. Delete with '{} del --prefix {prefix}' first",
        session.program
    );
    Err(Failure::new(exit::INVALID_INPUT, text))
}

async fn perf(common: &Common, prefix: &str, session: &Session) -> Outcome {
    let (clients, rate) = load(&common.load, [(50, 150), (200, 1000), (500, 8000), (1000, 15000)])?;
    refuse_keys(prefix, session).await?;
    let work = Work::new(rate * PERF_TIME.as_secs(), Some(rate));
    let took = work.run(clients, prefix, session, Some(PERF_TIME)).await?;
    clean_up_after(&took, common, prefix, session).await?;
    let verdict = Verdict::of(&took, rate);
    session
        .printer
        .print(&Answer::Plain { lines: verdict.lines(&took), fields: verdict.fields() })?;
    if verdict.is_good() { Ok(()) } else { Err(Failure::silent(exit::ERROR)) }
}

/// What `perf` measured against what is wanted.
struct Verdict {
    wanted: f64,
    throughput: f64,
    slowest: f64,
    deviation: f64,
    errors: u64,
}

impl Verdict {
    fn of(took: &Took, rate: u64) -> Verdict {
        Verdict {
            wanted: rate as f64 * THROUGHPUT_MIN,
            throughput: took.times.len() as f64 / took.total.as_secs_f64(),
            slowest: took.times.iter().copied().fold(0.0, f64::max),
            deviation: deviation(&took.times),
            errors: took.errors,
        }
    }

    fn is_fast(&self) -> bool {
        self.throughput > self.wanted
    }

    fn is_good(&self) -> bool {
        let is_even = self.slowest <= SLOWEST_MAX && self.deviation <= DEVIATION_MAX;
        self.errors == 0 && self.is_fast() && is_even
    }

    fn lines(&self, took: &Took) -> Vec<String> {
        let mut lines = error_lines(took);
        let line = |good: bool, pass: String, fail: String| match good {
            true => format!("PASS: {pass}"),
            false => format!("FAIL: {fail}"),
        };
        let (rate, slowest, deviation) = (self.throughput as u64, self.slowest, self.deviation);
        lines.push(line(
            self.is_fast(),
            format!("Throughput is {rate} writes/s"),
            format!("Throughput too low: {rate} writes/s"),
        ));
        lines.push(line(
            slowest <= SLOWEST_MAX,
            format!("Slowest request took {slowest:.6}s"),
            format!("Slowest request took too long: {slowest:.6}s"),
        ));
        lines.push(line(
            deviation <= DEVIATION_MAX,
            format!("Stddev is {deviation:.6}s"),
            format!("Stddev too high: {deviation:.6}s"),
        ));
        lines.push(if self.is_good() { "PASS" } else { "FAIL" }.to_owned());
        lines
    }

    fn fields(&self) -> Vec<(&'static str, serde_json::Value)> {
        vec![
            ("pass", self.is_good().into()),
            ("writesPerSecond", self.throughput.into()),
            ("slowestSeconds", self.slowest.into()),
            ("deviationSeconds", self.deviation.into()),
            ("errors", self.errors.into()),
        ]
    }
}

fn error_lines(took: &Took) -> Vec<String> {
    if took.errors == 0 {
        return Vec::new();
    }
    let count = format!("FAIL: ERROR({}) -> {}", took.last_error, took.errors);
    vec!["FAIL: too many errors".to_owned(), count]
}

fn deviation(times: &[f64]) -> f64 {
    let count = times.len().max(1) as f64;
    let mean = times.iter().sum::<f64>() / count;
    (times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / count).sqrt()
}

async fn data_scale(common: &Common, prefix: &str, session: &Session) -> Outcome {
    let models = [(50, 10_000), (200, 100_000), (500, 1_000_000), (1000, 3_000_000)];
    let (clients, keys) = load(&common.load, models)?;
    refuse_keys(prefix, session).await?;
    let before = resident_bytes(session).await?;
    if !session.printer.is_structured() {
        print_line(format!(
            "Start data scale check for work load [{keys} key-value pairs, {VALUE_BYTES} bytes per \
             key-value, {clients} concurrent clients]."
        ));
    }
    let took = Work::new(keys, None).run(clients, prefix, session, None).await?;
    let after = resident_bytes(session).await;
    clean_up_after(&took, common, prefix, session).await?;
    let after = after?;
    let used = (after - before).max(0.0);
    let megabytes = used / 1024.0 / 1024.0;
    let lines = match took.errors {
        0 => vec![format!("PASS: Approximate system memory used : {megabytes:.2} MB.")],
        _ => error_lines(&took),
    };
    let fields = vec![
        ("pass", (took.errors == 0).into()),
        ("memoryUsedBytes", (used as u64).into()),
        ("errors", took.errors.into()),
    ];
    session.printer.print(&Answer::Plain { lines, fields })?;
    if took.errors == 0 { Ok(()) } else { Err(Failure::silent(exit::ERROR)) }
}

/// Resident memory of the first endpoint's process, from its metrics.
async fn resident_bytes(session: &Session) -> Outcome<f64> {
    let endpoint = session.endpoints().into_iter().next().unwrap_or_default();
    let limit = session.flags.command_timeout();
    let answer = http_get(session.client.config(), &endpoint, "/metrics", limit).await?;
    let text = answer.text();
    let line = text.lines().find(|line| line.starts_with("process_resident_memory_bytes"));
    let value = line.and_then(|line| line.split(' ').nth(1)).and_then(|value| value.parse().ok());
    let missing = || "could not find process_resident_memory_bytes in the metrics";
    value.ok_or_else(|| Failure::new(exit::ERROR, missing()))
}

/// Deletes what was put, also after an interruption, which then ends the check. A second one leaves the keys.
async fn clean_up_after(took: &Took, common: &Common, prefix: &str, session: &Session) -> Outcome {
    let interrupted_again = async {
        if took.is_interrupted {
            interrupted().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        cleaned = clean_up(common, prefix, session) => cleaned?,
        () = interrupted_again => {
            let text = format!(
                "interrupted while deleting what was written. Delete the rest with '{} del --prefix {prefix}'",
                session.program
            );
            return Err(Failure::new(exit::INTERRUPTED, text));
        }
    }
    match took.is_interrupted {
        true => Err(Failure::new(exit::INTERRUPTED, "interrupted; what was written is deleted")),
        false => Ok(()),
    }
}

async fn clean_up(common: &Common, prefix: &str, session: &Session) -> Outcome {
    let request = pb::DeleteRangeRequest {
        key: prefix.to_owned().into(),
        range_end: prefix_end(prefix.as_bytes()),
        prev_kv: false,
    };
    let answer = session.client.with_timeout(None).kv().delete(request).await?;
    let revision = answer.header.unwrap_or_default().revision;
    let tell = |line: String| {
        if !session.printer.is_structured() {
            print_line(line);
        }
    };
    if common.auto_compact {
        tell(format!("Compacting with revision {revision}"));
        let request = pb::CompactionRequest { revision, physical: true };
        session.client.with_timeout(None).kv().compact(request).await?;
        tell(format!("Compacted with revision {revision}"));
    }
    if common.auto_defrag {
        for endpoint in session.endpoints() {
            let quoted = crate::go::quote(endpoint.as_bytes());
            tell(format!("Defragmenting {quoted}"));
            session.client.at(&endpoint)?.with_timeout(None).maintenance().defragment().await?;
            tell(format!("Defragmented {quoted}"));
        }
    }
    Ok(())
}

/// Puts, shared among clients: whoever is free takes the next number, at the rate if there is one.
struct Work {
    next: AtomicU64,
    count: u64,
    interval: Option<Duration>,
    start: Instant,
}

/// What the puts took.
#[derive(Default)]
struct Took {
    times: Vec<f64>,
    errors: u64,
    last_error: String,
    total: Duration,
    is_interrupted: bool,
}

impl Work {
    fn new(count: u64, rate: Option<u64>) -> Arc<Work> {
        let interval = rate.map(|rate| Duration::from_secs(1) / u32::try_from(rate).unwrap_or(1));
        Arc::new(Work { next: AtomicU64::new(0), count, interval, start: Instant::now() })
    }

    async fn run(
        self: Arc<Self>,
        clients: u64,
        prefix: &str,
        session: &Session,
        limit: Option<Duration>,
    ) -> Outcome<Took> {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let (work, prefix) = (self.clone(), Bytes::from(prefix.to_owned()));
            let client = Client::connect(session.client.config().clone()).await?;
            tasks.spawn(async move { work.put_all(&client, &prefix, limit).await });
        }
        let mut whole = Took::default();
        let stop = interrupted();
        tokio::pin!(stop);
        loop {
            let part = tokio::select! {
                part = tasks.join_next() => part,
                () = &mut stop, if !whole.is_interrupted => {
                    whole.is_interrupted = true;
                    // No further number is taken; puts that are on their way come to their end.
                    self.next.store(self.count, Ordering::Relaxed);
                    continue;
                }
            };
            let Some(part) = part else { break };
            let part = part.map_err(|error| Failure::new(exit::ERROR, error.to_string()))?;
            whole.times.extend(part.times);
            whole.errors += part.errors;
            if !part.last_error.is_empty() {
                whole.last_error = part.last_error;
            }
        }
        whole.total = self.start.elapsed();
        Ok(whole)
    }

    async fn put_all(&self, client: &Client, prefix: &[u8], limit: Option<Duration>) -> Took {
        let mut took = Took::default();
        let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let is_late = limit.is_some_and(|limit| self.start.elapsed() >= limit);
            if number >= self.count || is_late {
                return took;
            }
            if let Some(interval) = self.interval {
                let due = interval.mul_f64(number as f64);
                tokio::time::sleep_until(self.start + due).await;
            }
            let key = [prefix, format!("{number:0KEY_BYTES$}").as_bytes()].concat();
            let put =
                pb::PutRequest { key: key.into(), value: value.clone(), ..Default::default() };
            let start = Instant::now();
            match client.kv().put(put).await {
                Ok(_) => took.times.push(start.elapsed().as_secs_f64()),
                Err(error) => {
                    took.errors += 1;
                    took.last_error = crate::failure::error_text(&error);
                }
            }
        }
    }
}
