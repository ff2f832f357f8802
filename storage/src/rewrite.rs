//! Building a fresh database beside the live one and putting it in its place: defragmentation, and a received state.
//!
//! Defragmentation copies a view while the member serves; what is committed meanwhile is kept and added, and only the
//! last of it is added under the lock. So the pause is one small commit and one rename.

use super::backend::{Backend, Current, Layers, Shared, Sizes};
use super::engine::{Change, Durability, Engine};
use super::generation::{self, Generation};
use super::layer::Layer;
use super::{AppliedMark, Keyspace, StorageError, mark};
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Rows and bytes of one commit while a database is filled: large enough to be quick, small in memory.
const FILL_ROWS_MAX: usize = 10_000;
const FILL_BYTES_MAX: usize = 8 << 20;
/// Flushes wait while a rewrite has more than this to catch up with.
const CATCH_UP_BYTES_MAX: usize = 256 << 20;
/// Less than this is added under the lock: a few milliseconds.
const LAST_CATCH_UP_BYTES: usize = 1 << 20;
/// Rounds after which the rest is added under the lock whatever it is: then the disk cannot outrun the writes.
const CATCH_UP_ROUNDS_MAX: usize = 20;

/// What a defragmentation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefragmentReport {
    /// Sizes before it.
    pub before: Sizes,
    /// Sizes after it.
    pub after: Sizes,
    /// How long it took, the copying included.
    pub elapsed: Duration,
    /// How long flushes had to wait. Reads and writes went on even then.
    pub pause: Duration,
}

/// Commits that a running rewrite has not seen yet.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    commits: Vec<Vec<Change>>,
    bytes: usize,
}

impl CatchUp {
    /// Keeps a commit for the rewrite.
    pub(super) fn push(&mut self, changes: Vec<Change>) {
        self.bytes += changes.iter().map(bytes_of).sum::<usize>();
        self.commits.push(changes);
    }

    /// True where no more should be kept.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > CATCH_UP_BYTES_MAX
    }
}

fn bytes_of(change: &Change) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, Bytes::len)
}

impl Backend {
    /// Copies the live rows into a fresh database and puts it in the place of the old one, while serving. A crash
    /// leaves the old or the new database. Takes seconds for each GiB: not for async tasks.
    pub fn defragment(&self) -> Result<DefragmentReport, StorageError> {
        let shared = &self.shared;
        let _permit = RewritePermit::wait(shared);
        shared.flush()?;
        let start = Instant::now();
        let before = self.sizes();
        let outcome = defragment(shared);
        shared.current.lock().catch_up = None;
        shared.caught_up.notify_all();
        let pause = outcome?;
        Ok(DefragmentReport { before, after: self.sizes(), elapsed: start.elapsed(), pause })
    }

    /// Replaces the whole state by `rows`, which a leader sent, and `applied`, the entry they include. A crash leaves
    /// the old state or the new one. Views of the old state go on until they are dropped; what was written but not
    /// flushed is dropped with it.
    ///
    /// The caller writes nothing meanwhile: neither the apply thread nor housekeeping.
    ///
    /// # Errors
    /// [`StorageError::BadReplacement`], or any error of `rows`, with the old state untouched.
    pub fn replace_all<I>(&self, rows: I, applied: AppliedMark) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Result<(Keyspace, Bytes, Bytes), StorageError>>,
    {
        let mut replacement = self.begin_replacement()?;
        for row in rows {
            let (keyspace, key, value) = row?;
            replacement.put(keyspace, key, value)?;
        }
        replacement.install(applied)
    }

    /// Begins to receive a state piece by piece; see [`Backend::replace_all`]. Dropping it changes nothing.
    pub fn begin_replacement(&self) -> Result<Replacement, StorageError> {
        let permit = RewritePermit::wait(&self.shared);
        self.shared.check()?;
        let next = next_generation(&self.shared)?;
        Ok(Replacement { fill: Fill::new(&self.shared, next), _permit: permit })
    }
}

/// The right to build the next generation; one exists at a time.
struct RewritePermit(Arc<Shared>);

impl RewritePermit {
    fn wait(shared: &Arc<Shared>) -> RewritePermit {
        let mut is_rewriting = shared.is_rewriting.lock();
        while *is_rewriting {
            shared.rewritten.wait(&mut is_rewriting);
        }
        *is_rewriting = true;
        RewritePermit(shared.clone())
    }
}

impl Drop for RewritePermit {
    fn drop(&mut self) {
        *self.0.is_rewriting.lock() = false;
        self.0.rewritten.notify_one();
    }
}

/// A state on its way in, not yet the live one.
pub struct Replacement {
    fill: Fill,
    _permit: RewritePermit,
}

impl Replacement {
    /// Adds a row. Sorted rows are written fastest.
    pub fn put(
        &mut self,
        keyspace: Keyspace,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<(), StorageError> {
        let key = key.into();
        if key.is_empty() {
            let place = keyspace.name();
            return Err(StorageError::BadReplacement(format!("a key in {place} is empty")));
        }
        // The mark's rows come with `install`.
        if keyspace == Keyspace::Meta && mark::is_mark_key(&key) {
            return Ok(());
        }
        self.fill.put(Change { keyspace, key, value: Some(value.into()) })
    }

    /// Makes the received state the live one.
    pub fn install(mut self, applied: AppliedMark) -> Result<(), StorageError> {
        self.fill.extend(mark::changes(&applied))?;
        self.fill.commit(Durability::Synced)?;
        let shared = self.fill.shared.clone();
        let next = self.fill.finish()?;
        let mut current = shared.current.lock();
        let mut writer = shared.writer.lock();
        let old = current.exchange(&shared, next)?;
        // Rows that waited belonged to the old state.
        current.show(&shared, Arc::default())?;
        shared.unflushed.store(0, Ordering::Relaxed);
        writer.mark = Some(applied.clone());
        shared.publish_durable(Some(applied));
        shared.progress.lock().settle(writer.n_batches);
        shared.flushed.notify_all();
        drop((writer, current));
        drop(old);
        Ok(())
    }
}

/// The copy and the exchange; returns how long flushes waited.
fn defragment(shared: &Arc<Shared>) -> Result<Duration, StorageError> {
    let read_error = |error| StorageError::engine("read", &shared.path, error);
    let view = {
        let mut current = shared.current.lock();
        current.catch_up = Some(CatchUp::default());
        current.generation.engine.pin().map_err(read_error)?
    };
    let mut fill = Fill::new(shared, next_generation(shared)?);
    for keyspace in Keyspace::ALL {
        let mut outcome = Ok(());
        let mut copy = |key: &[u8], value: &[u8]| {
            let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            outcome = fill.put(Change { keyspace, key, value: Some(value) });
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        view.scan(keyspace, &[], None, &mut copy).map_err(read_error)?;
        outcome?;
    }
    drop(view);
    fill.commit(Durability::Synced)?;
    for _ in 0..CATCH_UP_ROUNDS_MAX {
        shared.check()?;
        let behind = take_catch_up(shared);
        let is_little = behind.bytes < LAST_CATCH_UP_BYTES;
        fill.catch_up(behind)?;
        if is_little {
            break;
        }
    }
    // Written now, so that only a rename is left to do under the lock.
    let number = fill.stage()?;
    let start = Instant::now();
    let mut current = shared.current.lock();
    debug_assert_eq!(number, current.generation.number + 1, "one rewrite at a time");
    let rest = current.catch_up.take().unwrap_or_default();
    fill.catch_up(rest)?;
    let next = fill.into_staged();
    let old = current.exchange(shared, next)?;
    let writer = shared.writer.lock();
    // The newest layer stays: its rows are in neither database yet.
    let newest = shared.layers.load().newest.clone();
    current.show(shared, newest)?;
    drop((writer, current));
    let pause = start.elapsed();
    drop(old);
    Ok(pause)
}

fn take_catch_up(shared: &Shared) -> CatchUp {
    let mut current = shared.current.lock();
    let behind = current.catch_up.replace(CatchUp::default());
    shared.caught_up.notify_all();
    behind.unwrap_or_default()
}

fn next_generation(shared: &Shared) -> Result<Generation, StorageError> {
    let number = shared.current.lock().generation.number + 1;
    generation::create(&shared.path, &shared.options, number)
}

impl Current {
    /// Makes `next`, which is staged, the live generation. Readers still look at the old one, which is returned: closing
    /// it takes time and needs no lock.
    fn exchange(&mut self, shared: &Shared, next: Generation) -> Result<Generation, StorageError> {
        shared.check()?;
        if let Err(error) = generation::switch_current(&shared.path, &shared.options) {
            // Which of the two a restart would open is not known.
            shared.poison(&error.without_advice());
            return Err(error);
        }
        let old = std::mem::replace(&mut self.generation, next);
        old.files.supersede();
        shared.note_sizes(&self.generation);
        Ok(old)
    }

    /// Shows readers the live generation, under `newest`.
    fn show(&self, shared: &Shared, newest: Arc<Layer>) -> Result<(), StorageError> {
        let path = self.generation.files.path();
        let engine = self.generation.engine.latest();
        let engine = engine.map_err(|error| StorageError::engine("read", path, error));
        // Readers must not stay with a database that is no longer the live one.
        let engine = engine.inspect_err(|error| shared.poison(&error.without_advice()))?;
        let files = self.generation.files.clone();
        shared.layers.store(Arc::new(Layers { newest, frozen: None, engine, files }));
        Ok(())
    }
}

/// A generation being filled. Where it is dropped before it is finished, its files go.
struct Fill {
    shared: Arc<Shared>,
    generation: Option<Generation>,
    waiting: Vec<Change>,
    bytes: usize,
}

impl Fill {
    fn new(shared: &Arc<Shared>, generation: Generation) -> Self {
        Fill { shared: shared.clone(), generation: Some(generation), waiting: Vec::new(), bytes: 0 }
    }

    fn put(&mut self, change: Change) -> Result<(), StorageError> {
        self.bytes += bytes_of(&change);
        self.waiting.push(change);
        if self.waiting.len() >= FILL_ROWS_MAX || self.bytes >= FILL_BYTES_MAX {
            self.commit(Durability::Deferred)?;
        }
        Ok(())
    }

    fn extend(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<(), StorageError> {
        changes.into_iter().try_for_each(|change| self.put(change))
    }

    /// Writes what waits, sorted, the last word for each row.
    fn commit(&mut self, durability: Durability) -> Result<(), StorageError> {
        let mut changes = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let place = |change: &Change| (change.keyspace, change.key.clone());
        if !changes.is_sorted_by(|a, b| (a.keyspace, &a.key) < (b.keyspace, &b.key)) {
            // Stable, reversed first: of equal keys the last added comes first and is the one kept.
            changes.reverse();
            changes.sort_by_key(place);
            changes.dedup_by_key(|change| place(change));
        }
        self.engine()
            .commit(&changes, durability)
            .map_err(|error| StorageError::engine("fill", &self.shared.path, error))
    }

    fn catch_up(&mut self, behind: CatchUp) -> Result<(), StorageError> {
        if behind.commits.is_empty() {
            return Ok(());
        }
        for changes in behind.commits {
            self.extend(changes)?;
        }
        self.commit(Durability::Synced)
    }

    fn generation(&self) -> &Generation {
        self.generation.as_ref().expect("taken only by what ends the fill")
    }

    fn engine(&self) -> &dyn Engine {
        &*self.generation().engine
    }

    /// Prepares the exchange; returns the generation's number.
    fn stage(&self) -> Result<u64, StorageError> {
        // What an engine notes of its size it knows only after the commit: one more, or it forgets it at the next open.
        self.engine()
            .commit(&[], Durability::Synced)
            .map_err(|error| StorageError::engine("fill", &self.shared.path, error))?;
        let number = self.generation().number;
        generation::stage_current(&self.shared.path, &self.shared.options, number)?;
        Ok(number)
    }

    fn into_staged(mut self) -> Generation {
        self.generation.take().expect("taken only here, which ends the fill")
    }

    fn finish(self) -> Result<Generation, StorageError> {
        self.stage()?;
        Ok(self.into_staged())
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        if let Some(generation) = self.generation.take() {
            generation.files.supersede();
        }
    }
}
