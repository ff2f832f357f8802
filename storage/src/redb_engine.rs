//! The default engine: redb over the disk interface. The only file that names redb.
//!
//! One redb table for each keyspace and one for the engine's own facts, so that one redb transaction is one atomic
//! commit over all of them. redb's read transactions are the views. redb doubles its file by leaving holes, so the
//! file's length says little; the size reported is the highest byte ever written, as etcd's is the highest page.

use super::engine::{Change, Durability, Engine, EngineSizes, EngineView, RowVisitor};
use super::{EngineError, Keyspace};
use bytes::Bytes;
use parking_lot::Mutex;
use quorate_etcd_files::disk::{Disk, File};
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The engine's own table; its presence tells a Quorate state from any other redb file.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("quorate");
/// Fact: version of what lies in the tables.
const FORMAT_VERSION_FACT: &str = "format_version";
/// Fact: bytes of keys and values in all keyspaces.
const IN_USE_FACT: &str = "in_use_bytes";
/// Fact: the highest byte ever written, as known before the commit that holds this fact.
const HIGH_WATER_FACT: &str = "high_water_bytes";
/// The version this program reads and writes.
const FORMAT_VERSION: u64 = 1;

/// How many rows `get_many` steps over before it searches from the root again; half as many after every search that
/// steps could not spare. A step costs a tenth of a search.
const STEPS_MAX: usize = 8;

type Rows = ReadOnlyTable<&'static [u8], &'static [u8]>;

const fn table(keyspace: Keyspace) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(keyspace.name())
}

/// See the module.
pub struct RedbEngine {
    /// The view of the last commit, made once for all readers. Before the database, so that it ends first.
    latest: Mutex<Option<Arc<RedbView>>>,
    database: Database,
    high_water: Arc<AtomicU64>,
    in_use: AtomicU64,
}

/// How to open a redb database.
#[derive(Clone, Copy, Debug)]
pub struct RedbOptions {
    /// Memory for pages, in bytes.
    pub cache_bytes: usize,
    /// False makes every sync a lie (`--unsafe-no-fsync`).
    pub syncs: bool,
}

impl RedbEngine {
    /// Makes a fresh database at `path`.
    pub fn create(disk: &dyn Disk, path: &Path, options: RedbOptions) -> Result<Self, EngineError> {
        let engine = Self::start(disk.create(path)?, options)?;
        let transaction = engine.database.begin_write().map_err(other)?;
        transaction
            .open_table(FACTS)
            .map_err(table_error)?
            .insert(FORMAT_VERSION_FACT, FORMAT_VERSION)
            .map_err(storage_error)?;
        for keyspace in Keyspace::ALL {
            transaction.open_table(table(keyspace)).map_err(table_error)?;
        }
        transaction.commit().map_err(commit_error)?;
        Ok(engine)
    }

    /// Opens the database at `path`; repairs it first where it was not closed.
    pub fn open(disk: &dyn Disk, path: &Path, options: RedbOptions) -> Result<Self, EngineError> {
        let file = disk.open(path)?;
        if file.is_empty()? {
            return Err(EngineError::Corrupt("the file is empty".to_owned()));
        }
        let engine = Self::start(file, options)?;
        let transaction = engine.database.begin_read().map_err(other)?;
        let facts = match transaction.open_table(FACTS) {
            Ok(facts) => facts,
            Err(redb::TableError::Storage(error)) => return Err(storage_error(error)),
            Err(error) => return Err(EngineError::Foreign(error.to_string())),
        };
        let fact = |name: &str| -> Result<u64, EngineError> {
            Ok(facts.get(name).map_err(storage_error)?.map_or(0, |value| value.value()))
        };
        let version = fact(FORMAT_VERSION_FACT)?;
        if version != FORMAT_VERSION {
            let found = format!("format version {version}, this program knows {FORMAT_VERSION}");
            return Err(EngineError::Foreign(found));
        }
        engine.in_use.store(fact(IN_USE_FACT)?, Ordering::Relaxed);
        engine.high_water.fetch_max(fact(HIGH_WATER_FACT)?, Ordering::Relaxed);
        Ok(engine)
    }

    fn start(file: Arc<dyn File>, options: RedbOptions) -> Result<Self, EngineError> {
        let high_water = Arc::new(AtomicU64::new(0));
        let backend = RedbFile { file, syncs: options.syncs, high_water: high_water.clone() };
        let database = redb::Builder::new()
            .set_cache_size(options.cache_bytes)
            .create_with_backend(backend)
            .map_err(database_error)?;
        let in_use = AtomicU64::new(0);
        Ok(RedbEngine { database, high_water, in_use, latest: Mutex::new(None) })
    }
}

impl Engine for RedbEngine {
    fn commit(&self, changes: &[Change], durability: Durability) -> Result<(), EngineError> {
        let mut transaction = self.database.begin_write().map_err(other)?;
        let level = match durability {
            Durability::Synced => redb::Durability::Immediate,
            Durability::Deferred => redb::Durability::None,
        };
        transaction.set_durability(level).map_err(other)?;
        let mut in_use = self.in_use.load(Ordering::Relaxed);
        for of_keyspace in changes.chunk_by(|a, b| a.keyspace == b.keyspace) {
            let Some(first) = of_keyspace.first() else { continue };
            let mut rows = transaction.open_table(table(first.keyspace)).map_err(table_error)?;
            for Change { key, value, .. } in of_keyspace {
                let old = match value {
                    Some(value) => {
                        in_use += (key.len() + value.len()) as u64;
                        rows.insert(key.as_ref(), value.as_ref())
                    }
                    None => rows.remove(key.as_ref()),
                };
                let old = old.map_err(storage_error)?;
                in_use -= old.map_or(0, |value| (key.len() + value.value().len()) as u64);
            }
        }
        let mut facts = transaction.open_table(FACTS).map_err(table_error)?;
        facts.insert(IN_USE_FACT, in_use).map_err(storage_error)?;
        let high_water = self.high_water.load(Ordering::Relaxed);
        facts.insert(HIGH_WATER_FACT, high_water).map_err(storage_error)?;
        drop(facts);
        transaction.commit().map_err(commit_error)?;
        self.in_use.store(in_use, Ordering::Relaxed);
        *self.latest.lock() = None;
        Ok(())
    }

    fn latest(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        let mut latest = self.latest.lock();
        if let Some(view) = &*latest {
            return Ok(view.clone());
        }
        let view = Arc::new(RedbView::begin(&self.database)?);
        *latest = Some(view.clone());
        Ok(view)
    }

    fn pin(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        self.latest()
    }

    fn sizes(&self) -> EngineSizes {
        EngineSizes {
            total: self.high_water.load(Ordering::Relaxed),
            in_use: self.in_use.load(Ordering::Relaxed),
        }
    }
}

/// A read transaction with its tables open, so that a read pays only for the search.
struct RedbView {
    tables: Vec<Rows>,
}

impl RedbView {
    fn begin(database: &Database) -> Result<Self, EngineError> {
        let transaction = database.begin_read().map_err(other)?;
        let open = |keyspace| transaction.open_table(table(keyspace)).map_err(table_error);
        let tables = Keyspace::ALL.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(RedbView { tables })
    }

    fn rows(&self, keyspace: Keyspace) -> &Rows {
        // `Keyspace::ALL` is in the order of the discriminants, which count from one.
        &self.tables[keyspace as usize - 1]
    }
}

impl EngineView for RedbView {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.rows(keyspace).get(key).map_err(storage_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn get_many(
        &self,
        keyspace: Keyspace,
        keys: &[&[u8]],
        found: &mut dyn FnMut(usize, Bytes),
    ) -> Result<(), EngineError> {
        // Keys written one after the other lie side by side: walking on from the last one found costs a tenth of a
        // search. Where the next key is not within a few steps, search for it.
        let rows = self.rows(keyspace);
        let mut walk: Option<Walk> = None;
        let mut steps = STEPS_MAX;
        for (position, key) in keys.iter().enumerate() {
            let near = match &mut walk {
                Some(walk) => step_to(walk, key, steps)?,
                None => None,
            };
            if let Some(value) = near {
                steps = STEPS_MAX;
                found(position, value);
                continue;
            }
            steps /= 2;
            if steps == 0 && !position.is_multiple_of(STEPS_MAX) {
                // The keys lie far apart: a plain search is cheaper than one that can be walked on from.
                walk = None;
                if let Some(value) = self.get(keyspace, key)? {
                    found(position, value);
                }
                continue;
            }
            let mut range = rows.range::<&[u8]>(*key..).map_err(storage_error)?;
            steps = steps.max(1);
            if let Some(value) = step_to(&mut range, key, 1)? {
                found(position, value);
            }
            walk = Some(range);
        }
        Ok(())
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), EngineError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let rows = self.rows(keyspace);
        let range = match to {
            Some(to) => rows.range::<&[u8]>(from..to),
            None => rows.range::<&[u8]>(from..),
        };
        for row in range.map_err(storage_error)? {
            let (key, value) = row.map_err(storage_error)?;
            if visit(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

type Walk = redb::Range<'static, &'static [u8], &'static [u8]>;

/// The value of `key`, where it is among the next rows of the walk.
fn step_to(walk: &mut Walk, key: &[u8], steps: usize) -> Result<Option<Bytes>, EngineError> {
    for row in walk.take(steps) {
        let (at, value) = row.map_err(storage_error)?;
        match at.value().cmp(key) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(Some(Bytes::copy_from_slice(value.value()))),
            std::cmp::Ordering::Greater => break,
        }
    }
    Ok(None)
}

/// A file of the disk interface as redb wants it.
#[derive(Debug)]
struct RedbFile {
    file: Arc<dyn File>,
    syncs: bool,
    high_water: Arc<AtomicU64>,
}

impl StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.high_water.fetch_min(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.syncs { self.file.sync_data() } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)?;
        self.high_water.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

fn other(error: impl std::fmt::Display) -> EngineError {
    EngineError::Other(error.to_string())
}

fn storage_error(error: redb::StorageError) -> EngineError {
    match error {
        redb::StorageError::Io(error) => EngineError::Io(error),
        redb::StorageError::Corrupted(what) => EngineError::Corrupt(what),
        error => other(error),
    }
}

fn table_error(error: redb::TableError) -> EngineError {
    match error {
        redb::TableError::Storage(error) => storage_error(error),
        error => EngineError::Corrupt(error.to_string()),
    }
}

fn commit_error(error: redb::CommitError) -> EngineError {
    match error {
        redb::CommitError::Storage(error) => storage_error(error),
        error => other(error),
    }
}

fn database_error(error: DatabaseError) -> EngineError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => EngineError::InUse,
        DatabaseError::UpgradeRequired(version) => {
            EngineError::Foreign(format!("redb file format {version}"))
        }
        DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            EngineError::Foreign(error.to_string())
        }
        DatabaseError::Storage(error) => storage_error(error),
        error => other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_etcd_files::disk::OsDisk;

    const OPTIONS: RedbOptions = RedbOptions { cache_bytes: 1 << 20, syncs: true };

    /// A redb file of another program is told from a Quorate state.
    #[test]
    fn foreign_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        drop(Database::create(&path).unwrap());
        let outcome = RedbEngine::open(&OsDisk, &path, OPTIONS);
        assert!(matches!(outcome, Err(EngineError::Foreign(_))));
    }

    /// A state of a newer version is told from a damaged one.
    #[test]
    fn newer_format_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let engine = RedbEngine::create(&OsDisk, &path, OPTIONS).unwrap();
        let transaction = engine.database.begin_write().unwrap();
        let mut facts = transaction.open_table(FACTS).unwrap();
        facts.insert(FORMAT_VERSION_FACT, FORMAT_VERSION + 1).unwrap();
        drop(facts);
        transaction.commit().unwrap();
        drop(engine);
        let outcome = RedbEngine::open(&OsDisk, &path, OPTIONS);
        assert!(matches!(outcome, Err(EngineError::Foreign(_))));
    }
}
