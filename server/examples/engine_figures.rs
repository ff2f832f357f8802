//! Measures the state engines through the backend, as the server uses them; prints the table of
//! `docs/adr/0002-state-engine.md`. A tool for that page, not a benchmark suite.
//!
//! `cargo run --release -p quorate-server --example engine_figures [ROWS]`

use bytes::Bytes;
use quorate_server::storage::{AppliedMark, Backend, BackendOptions, Batch, EngineKind, Keyspace};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const VALUE_BYTES: usize = 256;
const ROWS_PER_BATCH: u64 = 100;
const GETS: u64 = 100_000;

fn main() -> anyhow::Result<()> {
    let n_rows = std::env::args().nth(1).map_or(Ok(200_000), |rows| rows.parse::<u64>())?;
    println!("{n_rows} rows of 17 + {VALUE_BYTES} bytes, batches of {ROWS_PER_BATCH}");
    for engine in [EngineKind::Redb, EngineKind::Sled] {
        let directory = tempfile::tempdir()?;
        println!("\n{engine}");
        measure(engine, &directory.path().join("state"), n_rows)?;
    }
    Ok(())
}

fn open(engine: EngineKind, path: &Path) -> anyhow::Result<Arc<Backend>> {
    Ok(Backend::open(path, BackendOptions { engine, ..BackendOptions::default() })?)
}

fn key(main: u64) -> Bytes {
    Bytes::from([&main.to_be_bytes()[..], b"_", &[0; 8]].concat())
}

/// Spreads numbers over `0..limit` without a pattern that a cache could like.
fn spread(number: u64, limit: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) % limit
}

fn tell(what: &str, figure: String) {
    println!("  {what:<44} {figure}");
}

fn per_item(what: &str, items: u64, elapsed: Duration) {
    let micros = elapsed.as_secs_f64() * 1e6 / items as f64;
    tell(what, format!("{micros:.2} us each"));
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn measure(engine: EngineKind, path: &Path, n_rows: u64) -> anyhow::Result<()> {
    let backend = open(engine, path)?;
    let (elapsed, longest) = load(&backend, 0, n_rows)?;
    tell(
        "load, flushed",
        format!(
            "{:.2} s, {:.0} rows/s",
            elapsed.as_secs_f64(),
            n_rows as f64 / elapsed.as_secs_f64()
        ),
    );
    tell("longest write of a batch", format!("{:.1} ms", longest.as_secs_f64() * 1e3));
    tell_disk("disk after load", &backend, path)?;
    open_after_crash(engine, path)?;
    reads(&backend, n_rows)?;

    let start = Instant::now();
    let view = backend.view()?;
    let mut n_seen = 0_u64;
    view.scan(Keyspace::Key, &[], None, &mut |_, _| {
        n_seen += 1;
        ControlFlow::Continue(())
    })?;
    drop(view);
    anyhow::ensure!(n_seen == n_rows, "the view has {n_seen} rows");
    per_item("scan of a view", n_rows, start.elapsed());

    let start = Instant::now();
    for first in (0..n_rows).step_by(2 * ROWS_PER_BATCH as usize) {
        let mut batch = Batch::housekeeping();
        let last = (first + 2 * ROWS_PER_BATCH).min(n_rows);
        (first..last).step_by(2).for_each(|main| batch.delete(Keyspace::Key, key(main)));
        backend.write(batch)?;
    }
    backend.flush()?;
    tell("remove every second row, flushed", format!("{:.2} s", start.elapsed().as_secs_f64()));
    tell_disk("disk after it", &backend, path)?;
    let report = backend.defragment()?;
    tell(
        "defragment",
        format!(
            "{:.2} s, pause {:.1} ms",
            report.elapsed.as_secs_f64(),
            report.pause.as_secs_f64() * 1e3
        ),
    );
    tell_disk("disk after it", &backend, path)?;

    backend.close()?;
    drop(backend);
    let start = Instant::now();
    let backend = open(engine, path)?;
    tell("open after a clean close", format!("{:.0} ms", start.elapsed().as_secs_f64() * 1e3));
    drop(backend);
    tell("resident memory at the end", mib(resident_bytes()?));
    Ok(())
}

/// Opens a copy of the files as they lie while the backend is open: what a kill would leave.
fn open_after_crash(engine: EngineKind, path: &Path) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("state");
    let status = std::process::Command::new("cp").arg("-a").arg(path).arg(&copy).status()?;
    anyhow::ensure!(status.success(), "cp failed");
    let start = Instant::now();
    drop(open(engine, &copy)?);
    tell("open after a kill", format!("{:.0} ms", start.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

fn load(backend: &Backend, first: u64, n_rows: u64) -> anyhow::Result<(Duration, Duration)> {
    let value = Bytes::from(vec![7; VALUE_BYTES]);
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    for first in (first..first + n_rows).step_by(ROWS_PER_BATCH as usize) {
        let last = (first + ROWS_PER_BATCH).min(first + n_rows);
        let mut batch = Batch::applied(AppliedMark { term: 1, index: last, leader_member_id: 1 });
        (first..last).for_each(|main| batch.put(Keyspace::Key, key(main), value.clone()));
        let start = Instant::now();
        backend.write(batch)?;
        longest = longest.max(start.elapsed());
    }
    backend.flush()?;
    Ok((start.elapsed(), longest))
}

fn reads(backend: &Backend, n_rows: u64) -> anyhow::Result<()> {
    let keys: Vec<_> = (0..GETS).map(|number| key(spread(number, n_rows))).collect();
    let start = Instant::now();
    for key in &keys {
        anyhow::ensure!(backend.get(Keyspace::Key, key)?.is_some(), "a row is missing");
    }
    per_item("get from the engine, random", GETS, start.elapsed());

    // These stay in the buffer: they are read before the interval is over.
    let start = Instant::now();
    load_without_flush(backend, n_rows)?;
    per_item("write to the buffer, 5,000 rows in batches", 5_000, start.elapsed());
    let keys: Vec<_> = (0..20_000).map(|number| key(n_rows + spread(number, 5_000))).collect();
    let start = Instant::now();
    for key in &keys {
        anyhow::ensure!(backend.get(Keyspace::Key, key)?.is_some(), "a row is missing");
    }
    per_item("get from the buffer, random", 20_000, start.elapsed());
    let mut batch = Batch::housekeeping();
    (n_rows..n_rows + 5_000).for_each(|main| batch.delete(Keyspace::Key, key(main)));
    backend.write(batch)?;
    backend.flush()?;

    let rounds = 100;
    let many = |what: &str, pick: &dyn Fn(u64, u64) -> u64| -> anyhow::Result<()> {
        let picks: Vec<Vec<_>> = (0..rounds)
            .map(|round| (0..1_000).map(|number| key(pick(round, number) % n_rows)).collect())
            .collect();
        let start = Instant::now();
        for keys in &picks {
            let values = backend.get_many(Keyspace::Key, keys)?;
            anyhow::ensure!(values.iter().all(Option::is_some), "a row is missing");
        }
        tell(what, format!("{:.0} us", start.elapsed().as_secs_f64() * 1e6 / rounds as f64));
        Ok(())
    };
    many("get_many of 1,000 neighbours", &|round, number| round * 1_000 + number)?;
    many("get_many of 1,000, every 5th row", &|round, number| round * 1_000 + number * 5)?;
    many("get_many of 1,000 at random", &|round, number| spread(round * 1_000 + number, n_rows))?;
    Ok(())
}

fn load_without_flush(backend: &Backend, first: u64) -> anyhow::Result<()> {
    let value = Bytes::from(vec![7; VALUE_BYTES]);
    for first in (first..first + 5_000).step_by(ROWS_PER_BATCH as usize) {
        let mut batch = Batch::housekeeping();
        (first..first + ROWS_PER_BATCH)
            .for_each(|main| batch.put(Keyspace::Key, key(main), value.clone()));
        backend.write(batch)?;
    }
    Ok(())
}

fn tell_disk(what: &str, backend: &Backend, path: &Path) -> anyhow::Result<()> {
    let sizes = backend.sizes();
    let (total, in_use) = (mib(sizes.total_bytes), mib(sizes.in_use_bytes));
    let blocks = mib(allocated_bytes(path)?);
    tell(what, format!("{total} (in use {in_use}, blocks taken {blocks})"));
    Ok(())
}

fn allocated_bytes(path: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        return Ok(metadata.blocks() * 512);
    }
    let entries = std::fs::read_dir(path)?;
    entries.map(|entry| allocated_bytes(&entry?.path())).sum()
}

fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/statm")?;
    let pages = status.split(' ').nth(1).unwrap_or_default().parse::<u64>()?;
    Ok(pages * 4096)
}
