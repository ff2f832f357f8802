//! The state as the rooms above see it: rows written in memory, visible at once, durable soon after.
//!
//! ```text
//!  write ──► newest layer ──(flush: freeze)──► frozen layer ──(one atomic commit)──► engine ──► durable mark
//!               ▲                                ▲                                    ▲
//!  get, scan ───┴── first asked ─────────────────┴── then ────────────────────────────┘ last
//! ```
//! What was written but not flushed is lost by a crash and comes back from the write-ahead log, which is purged only
//! below the durable mark. Rows of an entry and its mark reach the engine in one commit, so the mark never lies.
//!
//! Locks, in the order they are taken: `current`, `writer`, `progress`. Reads take none of them.

use super::engine::{EngineView, RowVisitor};
use super::flusher::{self, Progress};
use super::generation::{self, Generation, GenerationFiles};
use super::layer::{Finding, Layer};
use super::rewrite::CatchUp;
use super::view::PinnedView;
use super::{
    AppliedMark, BackendOptions, Batch, EngineError, Keyspace, StorageError, SyncedLog, View, mark,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Sizes of the state on disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// What the database takes, free pages included (etcd's `dbSize`).
    pub total_bytes: u64,
    /// What live rows take of it (etcd's `dbSizeInUse`).
    pub in_use_bytes: u64,
}

/// An engine makes its file this large, in bytes, before it holds anything to speak of: pages ahead of need, and the room
/// in which it rearranges them.
const FILE_FLOOR_BYTES: u64 = 2 * 1024 * 1024;

impl Sizes {
    /// What counts against a quota, in bytes: the whole file, free pages included, as with etcd. A file that is no larger
    /// than an empty one counts by what is in it, so that a quota of a few pages is a quota too.
    pub fn quota_bytes(&self) -> u64 {
        if self.total_bytes > FILE_FLOOR_BYTES { self.total_bytes } else { self.in_use_bytes }
    }
}

/// See the module.
pub struct Backend {
    pub(super) shared: Arc<Shared>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

/// What readers look through, newest first. Replaced as a whole.
pub(super) struct Layers {
    pub(super) newest: Arc<Layer>,
    pub(super) frozen: Option<Arc<Layer>>,
    pub(super) engine: Arc<dyn EngineView>,
    // After `engine`: the files go last.
    pub(super) files: Arc<GenerationFiles>,
}

/// What the writer knows of its own past.
#[derive(Debug, Default)]
pub(super) struct WriterState {
    /// The newest mark written.
    pub(super) mark: Option<AppliedMark>,
    /// Number of batches written.
    pub(super) n_batches: u64,
}

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) options: BackendOptions,
    applied_at_open: Option<AppliedMark>,
    pub(super) synced_log: Arc<SyncedLog>,
    pub(super) layers: ArcSwap<Layers>,
    /// One defragmentation or replacement at a time.
    pub(super) is_rewriting: Mutex<bool>,
    /// Told when a rewrite has ended.
    pub(super) rewritten: Condvar,
    /// The live generation; held while it is written to or exchanged.
    pub(super) current: Mutex<Current>,
    /// Told when a rewrite has taken rows from `Current::catch_up`, or has ended.
    pub(super) caught_up: Condvar,
    pub(super) writer: Mutex<WriterState>,
    /// Bytes in layers, not yet in the engine.
    pub(super) unflushed: AtomicUsize,
    /// Number of batches written, for the flusher to see without the writer's lock.
    pub(super) n_written: AtomicU64,
    /// True while the flusher sleeps because nothing waits.
    pub(super) is_idle: AtomicBool,
    pub(super) progress: Mutex<Progress>,
    /// Wakes the flusher.
    pub(super) work: Condvar,
    /// Wakes those who wait for a flush or for room.
    pub(super) flushed: Condvar,
    pub(super) durable: watch::Sender<Option<AppliedMark>>,
    pub(super) fatal: watch::Sender<Option<StorageError>>,
    poison: OnceLock<Arc<str>>,
    is_closed: AtomicBool,
    total_bytes: AtomicU64,
    in_use_bytes: AtomicU64,
    /// Keeps other processes out. Let go last.
    _lock: Option<std::fs::File>,
}

pub(super) struct Current {
    pub(super) generation: Generation,
    pub(super) catch_up: Option<CatchUp>,
}

impl Backend {
    /// Opens the state in directory `path`, or makes an empty one.
    ///
    /// # Errors
    /// [`StorageError::Refused`] for what is not a state of this program and engine, [`StorageError::Engine`] for what
    /// is damaged, unreadable, or open in another process.
    pub fn open(path: &Path, mut options: BackendOptions) -> Result<Arc<Backend>, StorageError> {
        options.flush_rows = options.flush_rows.min(options.engine.commit_rows_max());
        let lock = generation::claim(path, &options)?;
        let generation = generation::open(path, &options)?;
        let failed = |error| StorageError::engine("open", path, error);
        let engine = generation.engine.latest().map_err(failed)?;
        let applied = mark::read(&*engine).map_err(failed)?;
        let synced_log = Arc::new(SyncedLog::open(&*engine).map_err(failed)?);
        let sizes = generation.engine.sizes();
        let layers = Layers {
            newest: Arc::default(),
            frozen: None,
            engine,
            files: generation.files.clone(),
        };
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            options,
            layers: ArcSwap::from_pointee(layers),
            is_rewriting: Mutex::new(false),
            rewritten: Condvar::new(),
            current: Mutex::new(Current { generation, catch_up: None }),
            caught_up: Condvar::new(),
            writer: Mutex::new(WriterState { mark: applied.clone(), n_batches: 0 }),
            unflushed: AtomicUsize::new(0),
            n_written: AtomicU64::new(0),
            is_idle: AtomicBool::new(false),
            progress: Mutex::default(),
            work: Condvar::new(),
            flushed: Condvar::new(),
            durable: watch::Sender::new(applied.clone()),
            fatal: watch::Sender::new(None),
            applied_at_open: applied,
            synced_log,
            poison: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            total_bytes: AtomicU64::new(sizes.total),
            in_use_bytes: AtomicU64::new(sizes.in_use),
            _lock: lock,
        });
        let flusher = flusher::spawn(shared.clone())
            .map_err(|error| StorageError::engine("start the flusher of", path, error.into()))?;
        Ok(Arc::new(Backend { shared, flusher: Mutex::new(Some(flusher)) }))
    }

    /// Whether [`Backend::write`] would return at once instead of waiting for the disk.
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// Writes a batch: visible to every later read, durable with one of the next flushes. Waits while too much waits to
    /// be flushed.
    ///
    /// Meant for one writer, the apply thread; housekeeping may write from another thread between its batches. May wait
    /// for the disk: not for async tasks. The rows of the mark itself appear with the flush; [`Backend::applied`] knows
    /// it at once.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`] after any failed flush.
    pub fn write(&self, batch: Batch) -> Result<(), StorageError> {
        let shared = &*self.shared;
        shared.wait_for_room()?;
        let mark = batch.mark().cloned();
        let is_full = {
            let mut writer = shared.writer.lock();
            let layers = shared.layers.load();
            let before = layers.newest.bytes();
            layers.newest.write(batch.into_rows());
            let added = layers.newest.bytes() - before;
            shared.unflushed.fetch_add(added, Ordering::Relaxed);
            writer.mark = mark.or_else(|| writer.mark.take());
            writer.n_batches += 1;
            let n_rows = layers.newest.n_rows();
            shared.n_written.store(writer.n_batches, Ordering::SeqCst);
            n_rows >= shared.options.flush_rows
        };
        shared.note_written(is_full);
        Ok(())
    }

    /// The value of a row.
    pub fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.shared.check()?;
        let layers = self.shared.layers.load();
        match layers.find(keyspace, key) {
            Finding::Present(value) => Ok(Some(value)),
            Finding::Removed => Ok(None),
            Finding::Unknown => {
                layers.engine.get(keyspace, key).map_err(|error| self.read_error(error))
            }
        }
    }

    /// The values of many rows, in the order of the keys. Far cheaper than one [`Backend::get`] each where keys ascend.
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keyspace: Keyspace,
        keys: &[K],
    ) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.shared.check()?;
        let layers = self.shared.layers.load();
        let mut values = vec![None; keys.len()];
        let mut asked = Vec::with_capacity(keys.len());
        let mut positions = Vec::with_capacity(keys.len());
        for (position, key) in keys.iter().enumerate() {
            match layers.find(keyspace, key.as_ref()) {
                Finding::Present(value) => values[position] = Some(value),
                Finding::Removed => {}
                Finding::Unknown => {
                    asked.push(key.as_ref());
                    positions.push(position);
                }
            }
        }
        let mut found = |position: usize, value| values[positions[position]] = Some(value);
        let outcome = layers.engine.get_many(keyspace, &asked, &mut found);
        outcome.map_err(|error| self.read_error(error))?;
        Ok(values)
    }

    /// Visits the rows of a keyspace from `from` (included) to `to` (excluded; `None` means the end), ascending, as they
    /// were at one moment. Meant for small keyspaces, short stretches, and start-up.
    pub fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), StorageError> {
        loop {
            self.shared.check()?;
            let layers = self.shared.layers.load_full();
            match layers.scan(keyspace, from, to, visit) {
                // The engine has no snapshots and a flush came between; nothing was visited yet.
                Err(EngineError::Moved) => std::thread::yield_now(),
                outcome => return outcome.map_err(|error| self.read_error(error)),
            }
        }
    }

    /// Makes everything written so far durable. Waits for the disk: not for async tasks.
    ///
    /// # Errors
    /// [`StorageError::Poisoned`] where that failed, now or before.
    pub fn flush(&self) -> Result<AppliedMark, StorageError> {
        self.shared.flush()?;
        Ok(self.shared.durable.borrow().clone().unwrap_or_default())
    }

    /// Follows the durable mark: the write-ahead log may be purged below it. `None` before the first applied entry.
    pub fn durable(&self) -> watch::Receiver<Option<AppliedMark>> {
        self.shared.durable.subscribe()
    }

    /// The mark of the last batch written, durable or not.
    pub fn applied(&self) -> Option<AppliedMark> {
        self.shared.writer.lock().mark.clone()
    }

    /// The mark found at open: where the replay of the log begins. `None` for a new state.
    pub fn applied_at_open(&self) -> Option<AppliedMark> {
        self.shared.applied_at_open.clone()
    }

    /// Set once, when a write has failed: the member must stop.
    pub fn fatal(&self) -> watch::Receiver<Option<StorageError>> {
        self.shared.fatal.subscribe()
    }

    /// The whole state at the present mark, for snapshots and hashes. Flushes first, so it waits for the disk: not for
    /// async tasks.
    pub fn view(&self) -> Result<Arc<dyn View>, StorageError> {
        self.shared.flush()?;
        let current = self.shared.current.lock();
        let failed = |error| self.read_error(error);
        let engine = current.generation.engine.pin().map_err(failed)?;
        let applied = mark::read(&*engine).map_err(failed)?.unwrap_or_default();
        let files = current.generation.files.clone();
        let path = self.shared.path.clone();
        Ok(Arc::new(PinnedView { applied, engine, path, _files: files }))
    }

    /// Sizes after the last flush. Cheap enough for every request.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            total_bytes: self.shared.total_bytes.load(Ordering::Relaxed),
            in_use_bytes: self.shared.in_use_bytes.load(Ordering::Relaxed),
        }
    }

    /// How far the write-ahead log is known to be on disk: noted here, by whoever writes it, with every flush.
    pub fn synced_log(&self) -> Arc<SyncedLog> {
        self.shared.synced_log.clone()
    }

    /// The directory of the state.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Flushes and stops the flusher. Every later call fails. Dropping the backend does the same, without a verdict.
    pub fn close(&self) -> Result<(), StorageError> {
        let outcome = self.shared.flush();
        self.stop();
        outcome
    }

    fn stop(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        flusher::stop(&self.shared);
        let flusher = self.flusher.lock().take();
        if flusher.is_some_and(|flusher| flusher.join().is_err()) {
            tracing::error!(path = %self.shared.path.display(), "the flusher panicked");
        }
    }

    fn read_error(&self, error: EngineError) -> StorageError {
        StorageError::engine("read", &self.shared.path, error)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if !self.shared.is_closed.load(Ordering::SeqCst)
            && let Err(error) = self.close()
        {
            tracing::error!(%error, "the state was dropped with writes that are not on disk");
        }
    }
}

impl Layers {
    fn find(&self, keyspace: Keyspace, key: &[u8]) -> Finding {
        match (self.newest.get(keyspace, key), &self.frozen) {
            (Finding::Unknown, Some(frozen)) => frozen.get(keyspace, key),
            (finding, _) => finding,
        }
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), EngineError> {
        let mut above = BTreeMap::new();
        if let Some(frozen) = &self.frozen {
            frozen.overlay(keyspace, from, to, &mut above);
        }
        self.newest.overlay(keyspace, from, to, &mut above);
        let mut above = above.into_iter().peekable();
        let mut flow = ControlFlow::Continue(());
        self.engine.scan(keyspace, from, to, &mut |key, value| {
            while let Some((only_above, value)) = above.next_if(|(over, _)| over.as_ref() < key) {
                flow = visit_present(&only_above, value.as_ref(), visit);
                if flow.is_break() {
                    return flow;
                }
            }
            flow = match above.next_if(|(over, _)| over.as_ref() == key) {
                Some((_, over)) => visit_present(key, over.as_ref(), visit),
                None => visit(key, value),
            };
            flow
        })?;
        while let (ControlFlow::Continue(()), Some((key, value))) = (flow, above.next()) {
            flow = visit_present(&key, value.as_ref(), visit);
        }
        Ok(())
    }
}

/// Visits a row of a layer, unless it marks a removed one.
fn visit_present(key: &[u8], value: Option<&Bytes>, visit: &mut RowVisitor<'_>) -> ControlFlow<()> {
    value.map_or(ControlFlow::Continue(()), |value| visit(key, value))
}

impl Shared {
    /// Fails where nothing may be served any more.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        if let Some(reason) = self.poison.get() {
            return Err(self.poisoned(reason));
        }
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(StorageError::Closed);
        }
        Ok(())
    }

    fn poisoned(&self, reason: &Arc<str>) -> StorageError {
        StorageError::Poisoned { path: self.path.clone(), reason: reason.clone() }
    }

    /// Stops everything: what is on disk is not known any more.
    pub(super) fn poison(&self, error: &dyn std::fmt::Display) {
        let reason = self.poison.get_or_init(|| Arc::from(error.to_string()));
        let fatal = self.poisoned(reason);
        tracing::error!(error = %fatal, "the state is poisoned");
        self.fatal.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert(fatal);
            is_first
        });
        let _progress = self.progress.lock();
        self.flushed.notify_all();
        self.caught_up.notify_all();
    }

    /// Publishes the sizes of the live generation.
    pub(super) fn note_sizes(&self, generation: &Generation) {
        let sizes = generation.engine.sizes();
        self.total_bytes.store(sizes.total, Ordering::Relaxed);
        self.in_use_bytes.store(sizes.in_use, Ordering::Relaxed);
    }
}
