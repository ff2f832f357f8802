//! The physical part of compactions, in small steps with pauses, on a thread of its own.

use crate::clock::SharedClock;
use crate::metrics::StoreMetrics;
use crate::mvcc::{Compaction, Progress};
use crate::raft::Fatal;
use std::num::NonZeroUsize;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Compactions that wait. One more makes apply wait: a cluster that compacts faster than it can remove must slow down.
pub const COMPACTION_QUEUE: usize = 1024;

/// How fast rows are removed, and where it is noted.
#[derive(Clone)]
pub struct CompactorOptions {
    /// `--compaction-batch-limit`: revisions per step.
    pub batch_limit: NonZeroUsize,
    /// `--compaction-sleep-interval`: pause between steps.
    pub pause: Duration,
    /// Where times and rows are counted.
    pub metrics: StoreMetrics,
    /// Tells when a compaction ended.
    pub clock: SharedClock,
}

/// Starts the thread. `done` gets the revision of every finished compaction, `fatal` the error that ends the member.
///
/// # Errors
/// The system gives no thread.
pub fn spawn_compactor(
    queue: Receiver<Compaction>,
    options: CompactorOptions,
    done: watch::Sender<i64>,
    fatal: watch::Sender<Option<Fatal>>,
    stop: watch::Receiver<bool>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("compactor".to_owned()).spawn(move || {
        for compaction in queue {
            let revision = compaction.revision();
            match run(compaction, &options, &stop) {
                Ok(true) => {
                    done.send_replace(revision);
                }
                Ok(false) => return,
                Err(error) => {
                    fatal.send_replace(Some(error));
                    return;
                }
            }
        }
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// False when the member stops; the next start takes the compaction up again.
fn run(
    mut compaction: Compaction,
    options: &CompactorOptions,
    stop: &watch::Receiver<bool>,
) -> Result<bool, Fatal> {
    let start = Instant::now();
    let metrics = &options.metrics;
    loop {
        let step = Instant::now();
        let (removed, is_walk) = (compaction.n_removed(), compaction.is_walk_next());
        let progress = compaction.step(options.batch_limit).map_err(Fatal::new)?;
        let times = match is_walk {
            true => &metrics.index_compaction_pause_ms,
            false => &metrics.compaction_pause_ms,
        };
        times.observe(milliseconds(step.elapsed()));
        metrics.compacted_rows.inc_by(compaction.n_removed() - removed);
        if progress != Progress::Working {
            break;
        }
        if *stop.borrow() {
            return Ok(false);
        }
        std::thread::sleep(options.pause);
    }
    metrics.compaction_total_ms.observe(milliseconds(start.elapsed()));
    metrics.compaction_last.set(options.clock.unix_time().as_secs().cast_signed());
    tracing::info!(
        compact_revision = compaction.revision(),
        removed = compaction.n_removed(),
        took_ms = start.elapsed().as_millis() as u64,
        "finished scheduled compaction"
    );
    Ok(true)
}
