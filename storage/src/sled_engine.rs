//! The second engine: sled 0.34.7 with guards. The only file that names sled.
//!
//! As it is shipped, sled 0.34.7 loses what it called stable in a power loss, and it has no snapshots. What is done
//! about it (measurements in `docs/adr/0002-state-engine.md`):
//! 1. `quorate-sled-sync` turns sled's weak sync into `fdatasync`; every open proves that it does, or fails.
//! 2. Values are cut into chunks, so that no page grows large enough for sled to put it into a file it never syncs.
//! 3. What sled forgets to sync when it makes a database is synced here. It panics over damaged files: whoever opens
//!    one catches that.
//! 4. What a crash during an open left of sled's own snapshot is removed before the next open, which it would stop.
//! 5. sled's own flush thread is off: it flushes when the backend says so.
//! 6. A view keeps the old value of every row that is changed while it lives.
//!
//! How rows lie in its one tree: see `sled_item.rs`.

use super::engine::{Change, Durability, Engine, EngineSizes, EngineView, RowVisitor};
use super::sled_item::{CHUNK_BYTES, Item, chunk_key, item_key};
use super::undo::Undo;
use super::{EngineError, Keyspace};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Fact: version of this layout.
const FORMAT_VERSION_FACT: &[u8] = b"\0format_version";
/// Fact: bytes of keys and values of all rows.
const IN_USE_FACT: &[u8] = b"\0in_use_bytes";
/// Fact: the newest stamp of a long value.
const STAMP_FACT: &[u8] = b"\0stamp";
/// Fact: how often the database was opened; written at every open so that there is something to flush.
const OPENS_FACT: &[u8] = b"\0opens";
/// The version this program reads and writes.
const FORMAT_VERSION: u64 = 1;

/// Rows a pinned view reads at a time, between two looks at what was changed.
const SCAN_ROWS: usize = 256;

/// How long an open waits for the lock of a database that is being closed, and how often it looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// How to open a sled database.
#[derive(Clone, Copy, Debug)]
pub struct SledOptions {
    /// Memory for pages, in bytes. sled takes it as a wish.
    pub cache_bytes: usize,
    /// False makes every sync a lie, for all sled databases of the process (`--unsafe-no-fsync`).
    pub syncs: bool,
}

/// See the module.
pub struct SledEngine {
    store: Arc<Store>,
}

struct Store {
    database: sled::Db,
    in_use: AtomicU64,
    total: AtomicU64,
    /// Held by a commit, and shortly by who needs that none runs. The number of commits so far.
    commits: Mutex<u64>,
    stamp: AtomicU64,
    undos: Mutex<Vec<Weak<Undo>>>,
}

impl SledEngine {
    /// Makes a fresh database in directory `path`.
    pub fn create(path: &Path, options: SledOptions) -> Result<Self, EngineError> {
        fs::DirBuilder::new().mode(0o700).create(path)?;
        let engine = Self::start(path, options)?;
        engine.store.write_fact(FORMAT_VERSION_FACT, FORMAT_VERSION)?;
        engine.prove_syncs(0)?;
        sync_tree(path)?;
        Ok(engine)
    }

    /// Opens the database in directory `path`.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, EngineError> {
        if !path.join("conf").exists() || !path.join("db").exists() {
            return Err(EngineError::Corrupt("the directory lacks sled's files".to_owned()));
        }
        remove_unfinished_snapshots(path)?;
        let engine = Self::start(path, options)?;
        let store = &engine.store;
        match store.fact(FORMAT_VERSION_FACT)? {
            Some(FORMAT_VERSION) => {}
            Some(version) => {
                let found =
                    format!("format version {version}, this program knows {FORMAT_VERSION}");
                return Err(EngineError::Foreign(found));
            }
            None => return Err(EngineError::Foreign("a sled database of another program".into())),
        }
        store.in_use.store(store.fact(IN_USE_FACT)?.unwrap_or_default(), Ordering::Relaxed);
        store.stamp.store(store.fact(STAMP_FACT)?.unwrap_or_default(), Ordering::Relaxed);
        engine.prove_syncs(store.fact(OPENS_FACT)?.unwrap_or_default())?;
        Ok(engine)
    }

    fn start(path: &Path, options: SledOptions) -> Result<Self, EngineError> {
        if !options.syncs {
            quorate_sled_sync::skip_syncs();
        }
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(options.cache_bytes as u64)
            .flush_every_ms(None);
        let database = open_when_free(&config)?;
        let store = Store {
            total: AtomicU64::new(database.size_on_disk().map_err(sled_error)?),
            database,
            in_use: AtomicU64::new(0),
            commits: Mutex::new(0),
            stamp: AtomicU64::new(0),
            undos: Mutex::default(),
        };
        Ok(SledEngine { store: Arc::new(store) })
    }

    /// Flushes something and sees whether it went through our sync.
    fn prove_syncs(&self, n_opens: u64) -> Result<(), EngineError> {
        let before = quorate_sled_sync::n_syncs();
        self.store.write_fact(OPENS_FACT, n_opens + 1)?;
        self.store.database.flush().map_err(sled_error)?;
        if quorate_sled_sync::n_syncs() == before {
            let message =
                "this build of the program does not sync sled's writes; use --storage-engine=redb";
            return Err(EngineError::Other(message.to_owned()));
        }
        Ok(())
    }
}

/// Opens a database, and waits a while for its lock: threads of sled may hold that of a database which this process, or
/// one that just ended, has closed.
fn open_when_free(config: &sled::Config) -> Result<sled::Db, EngineError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open().map_err(sled_error) {
            Err(EngineError::InUse) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            outcome => return outcome,
        }
    }
}

/// Removes what a crash left of a snapshot that sled was writing. sled names it `snap.N.generating` and gives it its real
/// name once it is synced, but at the next open takes it for the newest snapshot, and for a damaged one.
fn remove_unfinished_snapshots(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|suffix| suffix == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Makes a new database durable: its files, their names, and its own name. Keeps others from reading it.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let file = fs::File::open(&path)?;
        if file.metadata()?.is_file() {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        file.sync_all()?;
    }
    fs::File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

impl Engine for SledEngine {
    fn commit(&self, changes: &[Change], durability: Durability) -> Result<(), EngineError> {
        let store = &self.store;
        let mut commits = store.commits.lock();
        let undos: Vec<_> = {
            let mut undos = store.undos.lock();
            undos.retain(|undo| undo.strong_count() > 0);
            undos.iter().filter_map(Weak::upgrade).collect()
        };
        let mut batch = sled::Batch::default();
        let mut in_use = store.in_use.load(Ordering::Relaxed);
        for change in changes {
            let item = item_key(change.keyspace, &change.key);
            let old = store.database.get(&item).map_err(sled_error)?;
            if !undos.is_empty() {
                let value = match &old {
                    Some(old) => Some(store.resolve(change.keyspace, &change.key, old)?),
                    None => None,
                };
                undos.iter().for_each(|undo| undo.keep(change, value.as_ref()));
            }
            if let Some(old) = &old {
                in_use -= (change.key.len() + Item::read(old)?.length()) as u64;
                remove_chunks(&mut batch, change, old)?;
            }
            match &change.value {
                Some(value) => {
                    in_use += (change.key.len() + value.len()) as u64;
                    store.insert(&mut batch, item, change, value);
                }
                None => batch.remove(item),
            }
        }
        batch.insert(IN_USE_FACT, &in_use.to_be_bytes());
        batch.insert(STAMP_FACT, &store.stamp.load(Ordering::Relaxed).to_be_bytes());
        store.database.apply_batch(batch).map_err(sled_error)?;
        if durability == Durability::Synced {
            store.database.flush().map_err(sled_error)?;
            let total = store.database.size_on_disk().map_err(sled_error)?;
            store.total.store(total, Ordering::Relaxed);
        }
        store.in_use.store(in_use, Ordering::Relaxed);
        *commits += 1;
        Ok(())
    }

    fn latest(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        let commit = *self.store.commits.lock();
        Ok(Arc::new(LatestView { store: self.store.clone(), commit }))
    }

    fn pin(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        let commits = self.store.commits.lock();
        let view = PinnedView::begin(&self.store);
        drop(commits);
        Ok(Arc::new(view))
    }

    fn sizes(&self) -> EngineSizes {
        EngineSizes {
            total: self.store.total.load(Ordering::Relaxed),
            in_use: self.store.in_use.load(Ordering::Relaxed),
        }
    }
}

impl Store {
    /// Adds a row to a batch, in chunks where it is long.
    fn insert(&self, batch: &mut sled::Batch, item: Vec<u8>, change: &Change, value: &Bytes) {
        if value.len() <= CHUNK_BYTES {
            batch.insert(item, Item::whole(value));
            return;
        }
        let stamp = self.stamp.fetch_add(1, Ordering::Relaxed) + 1;
        let mut n_chunks = 0_u32;
        for chunk in value.chunks(CHUNK_BYTES) {
            batch.insert(chunk_key(change.keyspace, &change.key, stamp, n_chunks), chunk);
            n_chunks += 1;
        }
        batch.insert(item, Item::chunked(stamp, n_chunks, value.len()));
    }

    /// The value of a row; the latest, whatever commit runs.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let place = item_key(keyspace, key);
        let Some(mut item) = self.database.get(&place).map_err(sled_error)? else {
            return Ok(None);
        };
        loop {
            match self.resolve(keyspace, key, &item) {
                Ok(value) => return Ok(Some(value)),
                Err(error) => {
                    // The row may have been replaced between its item and its chunks: look whether the item moved.
                    match self.database.get(&place).map_err(sled_error)? {
                        None => return Ok(None),
                        Some(now) if now == item => return Err(error),
                        Some(now) => item = now,
                    }
                }
            }
        }
    }

    /// The value that an item stands for.
    fn resolve(&self, keyspace: Keyspace, key: &[u8], item: &[u8]) -> Result<Bytes, EngineError> {
        let (stamp, n_chunks, length) = match Item::read(item)? {
            Item::Whole(value) => return Ok(Bytes::copy_from_slice(value)),
            Item::Chunked { stamp, n_chunks, length } => (stamp, n_chunks, length),
        };
        let mut value = Vec::with_capacity(length);
        for number in 0..n_chunks {
            let chunk = self.database.get(chunk_key(keyspace, key, stamp, number));
            let chunk = chunk.map_err(sled_error)?;
            let chunk = chunk.ok_or_else(|| {
                EngineError::Corrupt(format!("a row of {} lacks a chunk", keyspace.name()))
            })?;
            value.extend_from_slice(&chunk);
        }
        if value.len() != length {
            let place = keyspace.name();
            return Err(EngineError::Corrupt(format!("a row of {place} has a wrong length")));
        }
        Ok(Bytes::from(value))
    }

    fn fact(&self, name: &[u8]) -> Result<Option<u64>, EngineError> {
        let Some(value) = self.database.get(name).map_err(sled_error)? else { return Ok(None) };
        let bytes = <[u8; 8]>::try_from(value.as_ref())
            .map_err(|_| EngineError::Corrupt("a fact is not 8 bytes long".to_owned()))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn write_fact(&self, name: &[u8], number: u64) -> Result<(), EngineError> {
        self.database.insert(name, &number.to_be_bytes()).map_err(sled_error)?;
        Ok(())
    }
}

fn remove_chunks(batch: &mut sled::Batch, change: &Change, old: &[u8]) -> Result<(), EngineError> {
    match Item::read(old)? {
        Item::Whole(_) => {}
        Item::Chunked { stamp, n_chunks, .. } => {
            for number in 0..n_chunks {
                batch.remove(chunk_key(change.keyspace, &change.key, stamp, number));
            }
        }
    }
    Ok(())
}

/// The rows of now. Only `scan` needs them to stand still.
struct LatestView {
    store: Arc<Store>,
    commit: u64,
}

impl EngineView for LatestView {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.store.get(keyspace, key)
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), EngineError> {
        let commits = self.store.commits.lock();
        if *commits != self.commit {
            return Err(EngineError::Moved);
        }
        let view = PinnedView::begin(&self.store);
        drop(commits);
        view.scan(keyspace, from, to, visit)
    }
}

/// The rows of one commit: those of now, with the changes since taken back.
struct PinnedView {
    store: Arc<Store>,
    undo: Arc<Undo>,
}

impl PinnedView {
    /// The caller holds `Store::commits`.
    fn begin(store: &Arc<Store>) -> Self {
        let undo = Arc::new(Undo::default());
        store.undos.lock().push(Arc::downgrade(&undo));
        PinnedView { store: store.clone(), undo }
    }

    /// Up to [`SCAN_ROWS`] items from `from` on; a value that could not be put together is `None`.
    fn read_some(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Vec<(Bytes, Option<Bytes>)>, EngineError> {
        let low = item_key(keyspace, from);
        let high = match to {
            Some(to) => item_key(keyspace, to),
            None => vec![keyspace as u8 + 1],
        };
        if low >= high {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for row in self.store.database.range(low..high).take(SCAN_ROWS) {
            let (item_key, item) = row.map_err(sled_error)?;
            let key = Bytes::copy_from_slice(&item_key[1..]);
            // Chunks that a later commit removed are no harm: the undo rows have the value.
            let value = self.store.resolve(keyspace, &key, &item).ok();
            rows.push((key, value));
        }
        Ok(rows)
    }
}

impl EngineView for PinnedView {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        // The tree first: a commit keeps the old value before it changes the tree.
        let now = self.store.get(keyspace, key);
        match self.undo.get(keyspace, key)? {
            Some(old) => Ok(old),
            None => now,
        }
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), EngineError> {
        let mut from = Bytes::copy_from_slice(from);
        loop {
            let found = self.read_some(keyspace, &from, to)?;
            let next = (found.len() == SCAN_ROWS)
                .then(|| found.last().map(|(key, _)| follower(key)))
                .flatten();
            let end = next.as_deref().or(to);
            let mut rows: BTreeMap<_, _> = found.into_iter().collect();
            self.undo.take_back(keyspace, &from, end, &mut rows)?;
            for (key, value) in rows {
                let value = value.ok_or_else(|| {
                    EngineError::Corrupt(format!("a row of {} lacks a chunk", keyspace.name()))
                })?;
                if visit(&key, &value).is_break() {
                    return Ok(());
                }
            }
            match next {
                Some(next) => from = Bytes::from(next),
                None => return Ok(()),
            }
        }
    }
}

/// The least key above `key`.
fn follower(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn sled_error(error: sled::Error) -> EngineError {
    match error {
        sled::Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => EngineError::InUse,
        // sled wraps the failed lock of a second open in an error without a kind.
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            EngineError::InUse
        }
        sled::Error::Io(error) => EngineError::Io(error),
        sled::Error::Corruption { .. } => EngineError::Corrupt("sled reports corruption".into()),
        sled::Error::Unsupported(what) => EngineError::Foreign(what),
        sled::Error::CollectionNotFound(_) | sled::Error::ReportableBug(_) => {
            EngineError::Other(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: SledOptions = SledOptions { cache_bytes: 1 << 20, syncs: true };

    /// A snapshot that a crash left unfinished does not stop the next open.
    #[test]
    fn unfinished_snapshot_is_no_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        drop(SledEngine::create(&path, OPTIONS).unwrap());
        fs::write(path.join("snap.7FFFFFFFFFFFFFFF.generating"), "").unwrap();
        SledEngine::open(&path, OPTIONS).unwrap();
    }

    /// A sled database of another program is told from a Quorate state.
    #[test]
    fn foreign_database_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        drop(sled::Config::new().path(&path).flush_every_ms(None).open().unwrap());
        let outcome = SledEngine::open(&path, OPTIONS);
        assert!(matches!(outcome, Err(EngineError::Foreign(_))));
    }
}
