//! The thread that makes written rows durable: after a short while, after many rows, or when somebody asks.

use super::backend::{Layers, Shared};
use super::engine::Durability;
use super::layer::Layer;
use super::{AppliedMark, StorageError, mark};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

/// How far the flusher is, and what it is asked for. Batches are counted from the open.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Batches that are durable.
    n_flushed: u64,
    /// Batches that somebody waits for.
    n_wanted: u64,
    /// Set when the layer is full: flush before the interval is over.
    is_urgent: bool,
    is_stopping: bool,
}

impl Progress {
    /// Declares all batches up to this one settled, as a replaced state does.
    pub(super) fn settle(&mut self, n_batches: u64) {
        self.n_flushed = self.n_flushed.max(n_batches);
    }
}

enum Wake {
    Flush,
    Stop,
}

/// Starts the flusher of a backend.
pub(super) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("state-flusher".to_owned()).spawn(move || run(&shared))
}

/// Asks the flusher to end without another flush.
pub(super) fn stop(shared: &Shared) {
    shared.progress.lock().is_stopping = true;
    shared.work.notify_all();
    shared.flushed.notify_all();
}

fn run(shared: &Shared) {
    while let Wake::Flush = wait(shared) {
        // A panic of the engine must not leave others waiting for a flush that never comes.
        match catch_unwind(AssertUnwindSafe(|| flush_once(shared))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return shared.poison(&error.without_advice()),
            Err(_) => return shared.poison(&"the storage engine panicked"),
        }
    }
}

fn wait(shared: &Shared) -> Wake {
    let mut progress = shared.progress.lock();
    let mut deadline = None;
    loop {
        if progress.is_stopping {
            return Wake::Stop;
        }
        let has_work = || shared.n_written.load(Ordering::SeqCst) > progress.n_flushed;
        if !has_work() {
            shared.is_idle.store(true, Ordering::SeqCst);
            // Looked at again after the announcement: a writer that missed it is seen here.
            if !has_work() {
                shared.work.wait(&mut progress);
            }
            shared.is_idle.store(false, Ordering::SeqCst);
            continue;
        }
        if progress.is_urgent || progress.n_wanted > progress.n_flushed {
            progress.is_urgent = false;
            return Wake::Flush;
        }
        let until = *deadline.get_or_insert_with(|| Instant::now() + shared.options.flush_interval);
        if shared.work.wait_until(&mut progress, until).timed_out() {
            return Wake::Flush;
        }
    }
}

/// Commits what was written so far, with its mark, as one.
fn flush_once(shared: &Shared) -> Result<(), StorageError> {
    let failed = |error| StorageError::engine("flush", &shared.path, error);
    let mut current = shared.current.lock();
    while current.catch_up.as_ref().is_some_and(|catch_up| catch_up.is_full()) {
        shared.caught_up.wait(&mut current);
        shared.check()?;
    }
    let (frozen, mark, n_batches) = freeze(shared);
    let mut changes = frozen.changes();
    if let Some(mark) = &mark {
        mark::insert(&mut changes, mark, shared.synced_log.change());
    }
    let start = Instant::now();
    current.generation.engine.commit(&changes, Durability::Synced).map_err(failed)?;
    if let Some(observe) = &shared.options.on_commit {
        observe(start.elapsed());
    }
    let engine = current.generation.engine.latest().map_err(failed)?;
    let newest = shared.layers.load().newest.clone();
    let files = current.generation.files.clone();
    shared.layers.store(Arc::new(Layers { newest, frozen: None, engine, files }));
    shared.note_sizes(&current.generation);
    if let Some(catch_up) = &mut current.catch_up {
        catch_up.push(changes);
    }
    shared.unflushed.fetch_sub(frozen.bytes(), Ordering::Relaxed);
    shared.publish_durable(mark);
    drop(current);
    shared.progress.lock().settle(n_batches);
    shared.flushed.notify_all();
    Ok(())
}

/// Begins a new layer; the old one takes no more rows.
fn freeze(shared: &Shared) -> (Arc<Layer>, Option<AppliedMark>, u64) {
    let writer = shared.writer.lock();
    let layers = shared.layers.load_full();
    shared.layers.store(Arc::new(Layers {
        newest: Arc::default(),
        frozen: Some(layers.newest.clone()),
        engine: layers.engine.clone(),
        files: layers.files.clone(),
    }));
    (layers.newest.clone(), writer.mark.clone(), writer.n_batches)
}

impl Shared {
    /// Wakes the flusher where it has nothing to wait for, or where the layer is full.
    pub(super) fn note_written(&self, is_full: bool) {
        let was_idle =
            self.is_idle.load(Ordering::SeqCst) && self.is_idle.swap(false, Ordering::SeqCst);
        if was_idle || is_full {
            self.progress.lock().is_urgent |= is_full;
            self.work.notify_one();
        }
    }

    /// Waits until all batches written before the call are durable.
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        let wanted = self.n_written.load(Ordering::SeqCst);
        let mut progress = self.progress.lock();
        loop {
            self.check()?;
            if progress.n_flushed >= wanted {
                return Ok(());
            }
            progress.n_wanted = progress.n_wanted.max(wanted);
            self.work.notify_one();
            self.flushed.wait(&mut progress);
        }
    }

    /// Whether a batch would be taken without waiting for a flush.
    pub(super) fn has_room(&self) -> bool {
        self.unflushed.load(Ordering::Relaxed) <= self.options.unflushed_bytes_max
    }

    /// Waits while the layers hold more than their limit.
    pub(super) fn wait_for_room(&self) -> Result<(), StorageError> {
        self.check()?;
        if self.has_room() {
            return Ok(());
        }
        let mut progress = self.progress.lock();
        while !self.has_room() {
            self.check()?;
            progress.is_urgent = true;
            self.work.notify_one();
            self.flushed.wait(&mut progress);
        }
        Ok(())
    }

    /// Publishes a durable mark.
    pub(super) fn publish_durable(&self, mark: Option<AppliedMark>) {
        self.durable.send_if_modified(|known| {
            let is_news = *known != mark;
            *known = mark;
            is_news
        });
    }
}
