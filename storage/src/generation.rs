//! Which database in the state's directory is the live one, and how another takes its place.
//!
//! The directory holds `CURRENT` and one database named after its generation, `000001.redb` or `000001.sled`. A state is
//! replaced by building the next generation beside the live one and moving a new `CURRENT` over the old: a crash
//! leaves the one or the other, never a mix. A generation that `CURRENT` does not name is removed at the next open.

use super::engine::Engine;
use super::fault_engine::FaultEngine;
use super::memory_engine::MemoryEngine;
use super::redb_engine::{RedbEngine, RedbOptions};
use super::sled_engine::{SledEngine, SledOptions};
use super::{BackendOptions, EngineError, EngineKind, StorageError, SyncPolicy};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// First line of `CURRENT`, the number being the version of the directory's layout.
const HEADER: &str = "quorate-state 1";
const HEADER_WORD: &str = "quorate-state ";
const CURRENT: &str = "CURRENT";
const CURRENT_NEW: &str = "CURRENT.new";
const LOCK: &str = "LOCK";
/// How long an open waits for a process that is just ending (or for a child that was forked and has yet to become its own
/// program), and how often it looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_INTERVAL: Duration = Duration::from_millis(10);
/// What `CURRENT` says before the first generation is there.
const NO_GENERATION: u64 = 0;

/// One database of the directory, open. Its files go when it was superseded and the last view of it has ended.
pub(super) struct Generation {
    // Before `files`, so that the engine has closed them when they are removed.
    pub(super) engine: Arc<dyn Engine>,
    pub(super) number: u64,
    pub(super) files: Arc<GenerationFiles>,
}

/// The files of a generation. Views hold it, so that the files outlive them.
pub(super) struct GenerationFiles {
    path: PathBuf,
    is_superseded: AtomicBool,
    options: BackendOptions,
}

impl GenerationFiles {
    /// The database's file or directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the files go with their last holder.
    pub(super) fn supersede(&self) {
        self.is_superseded.store(true, Ordering::SeqCst);
    }
}

impl Drop for GenerationFiles {
    fn drop(&mut self) {
        if self.is_superseded.load(Ordering::SeqCst)
            && let Err(error) = remove(&self.options, &self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an old state; the next start tries again");
        }
    }
}

/// Opens the live generation, or makes the first one in an empty or absent directory.
pub(super) fn open(directory: &Path, options: &BackendOptions) -> Result<Generation, StorageError> {
    if options.engine == EngineKind::Memory {
        return create(directory, options, 1);
    }
    let number = match read_current(directory, options)? {
        Some(number) => number,
        None => {
            require_empty(directory, options)?;
            // Written before anything else: a directory with databases but without `CURRENT` has lost it, and nothing
            // in it may be taken for a stray.
            make_current(directory, options, NO_GENERATION)?;
            NO_GENERATION
        }
    };
    let path = database_path(directory, options.engine, number);
    remove_strays(directory, options, &path)?;
    if number == NO_GENERATION {
        let generation = create(directory, options, 1)?;
        make_current(directory, options, 1)?;
        return Ok(generation);
    }
    let engine = caught(|| open_engine(&path, options))
        .map_err(|error| StorageError::engine("open", path.clone(), error))?;
    Ok(generation(engine, number, path, options))
}

/// Makes the directory where it lacks, and keeps every other process out of it. The lock ends with the file.
///
/// A simulated disk has no other processes, and nothing is locked.
pub(super) fn claim(
    directory: &Path,
    options: &BackendOptions,
) -> Result<Option<fs::File>, StorageError> {
    if options.engine == EngineKind::Memory {
        return Ok(None);
    }
    let failed = |error: EngineError| StorageError::engine("claim", directory, error);
    make_directory(directory, options).map_err(|error| failed(error.into()))?;
    if !directory.is_dir() {
        return Ok(None);
    }
    let mut open = fs::OpenOptions::new();
    let file = open.write(true).create(true).truncate(false).mode(0o600).open(directory.join(LOCK));
    let file = file.map_err(|error| failed(error.into()))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(fs::TryLockError::WouldBlock) => return Err(failed(EngineError::InUse)),
            Err(fs::TryLockError::Error(error)) => return Err(failed(error.into())),
        }
    }
}

/// Refuses a directory that holds anything but what a first open leaves before `CURRENT`.
fn require_empty(directory: &Path, options: &BackendOptions) -> Result<(), StorageError> {
    let paths = options.disk.list(directory);
    let paths = paths.map_err(|error| StorageError::engine("open", directory, error.into()))?;
    let is_ours = |path: &Path| [CURRENT_NEW, LOCK].iter().any(|name| path.ends_with(name));
    match paths.into_iter().find(|path| !is_ours(path)) {
        None => Ok(()),
        Some(path) => Err(StorageError::Refused {
            path,
            found: format!("the directory has no {CURRENT}, yet it is not empty"),
            advice: "Check --data-dir. Where the file was lost, remove the member and add it again with an empty data \
                     directory",
        }),
    }
}

/// Makes the directory and those above it that lack, and makes their names durable.
fn make_directory(directory: &Path, options: &BackendOptions) -> std::io::Result<()> {
    let disk = &options.disk;
    let is_named = |path: &&Path| !path.as_os_str().is_empty();
    let missing: Vec<_> = directory
        .ancestors()
        .filter(is_named)
        .take_while(|ancestor| !disk.exists(ancestor))
        .collect();
    disk.create_dir_all(directory)?;
    let parents = missing.into_iter().filter_map(Path::parent).filter(is_named);
    parents.into_iter().try_for_each(|parent| disk.sync_dir(parent))
}

/// Makes an empty generation with this number; it is not the live one yet.
pub(super) fn create(
    directory: &Path,
    options: &BackendOptions,
    number: u64,
) -> Result<Generation, StorageError> {
    let path = database_path(directory, options.engine, number);
    let failed = |error| StorageError::engine("create", path.clone(), error);
    if options.engine != EngineKind::Memory {
        remove(options, &path).map_err(|error| failed(error.into()))?;
    }
    let engine = caught(|| create_engine(&path, options)).map_err(failed)?;
    let generation = generation(engine, number, path, options);
    Ok(generation)
}

fn generation(
    engine: Arc<dyn Engine>,
    number: u64,
    path: PathBuf,
    options: &BackendOptions,
) -> Generation {
    let engine: Arc<dyn Engine> = match &options.faults {
        Some(faults) => Arc::new(FaultEngine::new(engine, faults.clone())),
        None => engine,
    };
    let is_superseded = AtomicBool::new(false);
    let files = Arc::new(GenerationFiles { path, is_superseded, options: options.clone() });
    Generation { engine, number, files }
}

/// Makes the generation with this number the live one, in two steps of which only the second decides.
pub(super) fn make_current(
    directory: &Path,
    options: &BackendOptions,
    number: u64,
) -> Result<(), StorageError> {
    stage_current(directory, options, number)?;
    switch_current(directory, options)
}

/// Makes durable all that [`switch_current`] will point at. The generation's database must be synced.
pub(super) fn stage_current(
    directory: &Path,
    options: &BackendOptions,
    number: u64,
) -> Result<(), StorageError> {
    if options.engine == EngineKind::Memory {
        return Ok(());
    }
    let body = format!("{HEADER}\nengine {}\ngeneration {number}\n", options.engine);
    let text = format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    let write = || -> std::io::Result<()> {
        let disk = &options.disk;
        let new = directory.join(CURRENT_NEW);
        if disk.exists(&new) {
            disk.remove_file(&new)?;
        }
        let file = disk.create(&new)?;
        file.write_all_at(text.as_bytes(), 0)?;
        if options.sync == SyncPolicy::Always {
            file.sync_data()?;
            // The database's own name too: `CURRENT` must never name what a power loss may take.
            disk.sync_dir(directory)?;
        }
        Ok(())
    };
    write()
        .map_err(|error| StorageError::engine("prepare", directory.join(CURRENT_NEW), error.into()))
}

/// Moves the staged `CURRENT` over the old one. After an error a restart may find either.
pub(super) fn switch_current(
    directory: &Path,
    options: &BackendOptions,
) -> Result<(), StorageError> {
    if options.engine == EngineKind::Memory {
        return Ok(());
    }
    let switch = || -> std::io::Result<()> {
        options.disk.rename(&directory.join(CURRENT_NEW), &directory.join(CURRENT))?;
        if options.sync == SyncPolicy::Always {
            options.disk.sync_dir(directory)?;
        }
        Ok(())
    };
    switch().map_err(|error| StorageError::engine("switch", directory.join(CURRENT), error.into()))
}

/// The engine that keeps the state in a directory; `None` where there is no state.
///
/// # Errors
/// What is there is not Quorate's, of a newer version, or damaged.
pub fn engine_of(directory: &Path) -> Result<Option<EngineKind>, StorageError> {
    let Some((engine, _)) = read_text(directory, &BackendOptions::default())? else {
        return Ok(None);
    };
    let found = engine.parse::<EngineKind>();
    found.map(Some).map_err(|found| StorageError::Refused {
        path: directory.join(CURRENT),
        found,
        advice: "Use the newer version that wrote it",
    })
}

/// The number of the live generation; `None` where the directory holds no state.
fn read_current(directory: &Path, options: &BackendOptions) -> Result<Option<u64>, StorageError> {
    let Some((engine, number)) = read_text(directory, options)? else { return Ok(None) };
    if engine != options.engine.name() {
        return Err(StorageError::Refused {
            path: directory.join(CURRENT),
            found: format!("it was written by engine {engine}, not {}", options.engine),
            advice: "Start with the --storage-engine that wrote it; to change engines, remove the member and add it \
                     again with an empty data directory",
        });
    }
    Ok(Some(number))
}

/// Engine and generation that `CURRENT` names; `None` where there is no such file.
fn read_text(
    directory: &Path,
    options: &BackendOptions,
) -> Result<Option<(String, u64)>, StorageError> {
    let path = directory.join(CURRENT);
    if !options.disk.exists(&path) {
        return Ok(None);
    }
    let read = || -> std::io::Result<Vec<u8>> {
        let file = options.disk.open(&path)?;
        let length = usize::try_from(file.len()?.min(4096)).unwrap_or(4096);
        let mut text = vec![0; length];
        file.read_exact_at(&mut text, 0)?;
        Ok(text)
    };
    let text = read().map_err(|error| StorageError::engine("open", path.clone(), error.into()))?;
    let refused =
        |found: String, advice| StorageError::Refused { path: path.clone(), found, advice };
    let text = String::from_utf8_lossy(&text).into_owned();
    let version = text.lines().next().unwrap_or_default();
    if version != HEADER {
        return Err(if version.starts_with(HEADER_WORD) {
            let found = format!("the layout is {version:?}, this program knows {HEADER:?}");
            refused(found, "Start the newer version that wrote it, or restore from a snapshot")
        } else {
            refused(
                "the file is not Quorate's".to_owned(),
                "Check --data-dir; a member starts in an empty directory, or in its own",
            )
        });
    }
    let damaged = || {
        refused(
            "the file is damaged (its checksum does not match)".to_owned(),
            "Remove the member and add it again with an empty data directory",
        )
    };
    let (engine, number) = parse_current(&text).ok_or_else(damaged)?;
    Ok(Some((engine.to_owned(), number)))
}

/// Engine and generation of a `CURRENT` whose checksum is right.
fn parse_current(text: &str) -> Option<(&str, u64)> {
    let (body, checksum) = text.split_at(text.find("crc32c ")?);
    let checksum = checksum.strip_prefix("crc32c ")?.trim_end();
    if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
        return None;
    }
    let mut lines = body.lines().skip(1);
    let engine = lines.next()?.strip_prefix("engine ")?;
    let number = lines.next()?.strip_prefix("generation ")?.parse().ok()?;
    Some((engine, number))
}

/// Removes databases that a crash left behind before they were made current, or after they ceased to be.
fn remove_strays(
    directory: &Path,
    options: &BackendOptions,
    live: &Path,
) -> Result<(), StorageError> {
    let strays = || -> std::io::Result<()> {
        for path in options.disk.list(directory)? {
            if is_database(&path, options.engine) && path != live {
                tracing::info!(path = %path.display(), "removing a state that was never finished");
                remove(options, &path)?;
            }
        }
        Ok(())
    };
    strays().map_err(|error| StorageError::engine("tidy", directory, error.into()))
}

/// True for the name of a generation of this engine, whatever its number.
fn is_database(path: &Path, engine: EngineKind) -> bool {
    let has_suffix = path.extension().is_some_and(|suffix| suffix == engine.name());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    has_suffix && stem.len() >= 6 && stem.bytes().all(|byte| byte.is_ascii_digit())
}

fn database_path(directory: &Path, engine: EngineKind, number: u64) -> PathBuf {
    directory.join(format!("{number:06}.{engine}"))
}

fn redb_options(options: &BackendOptions) -> RedbOptions {
    RedbOptions { cache_bytes: options.cache_bytes, syncs: options.sync == SyncPolicy::Always }
}

fn sled_options(options: &BackendOptions) -> SledOptions {
    SledOptions { cache_bytes: options.cache_bytes, syncs: options.sync == SyncPolicy::Always }
}

/// Runs what parses bytes from the disk; an engine that panics over damaged ones must not take the process down.
fn caught<T>(open: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let owned = panic.downcast_ref::<String>().map(String::as_str);
        let said = owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("nothing");
        Err(EngineError::Corrupt(format!("the engine panicked and said: {said}")))
    })
}

fn open_engine(path: &Path, options: &BackendOptions) -> Result<Arc<dyn Engine>, EngineError> {
    Ok(match options.engine {
        EngineKind::Redb => {
            Arc::new(RedbEngine::open(&*options.disk, path, redb_options(options))?)
        }
        EngineKind::Sled => Arc::new(SledEngine::open(path, sled_options(options))?),
        EngineKind::Memory => Arc::new(MemoryEngine::default()),
    })
}

fn create_engine(path: &Path, options: &BackendOptions) -> Result<Arc<dyn Engine>, EngineError> {
    Ok(match options.engine {
        EngineKind::Redb => {
            Arc::new(RedbEngine::create(&*options.disk, path, redb_options(options))?)
        }
        EngineKind::Sled => Arc::new(SledEngine::create(path, sled_options(options))?),
        EngineKind::Memory => Arc::new(MemoryEngine::default()),
    })
}

/// Removes a database; nothing happens where there is none.
fn remove(options: &BackendOptions, path: &Path) -> std::io::Result<()> {
    if options.engine == EngineKind::Memory || !options.disk.exists(path) {
        return Ok(());
    }
    if path.extension().is_some_and(|suffix| suffix == EngineKind::Sled.name()) {
        return std::fs::remove_dir_all(path);
    }
    options.disk.remove_file(path)
}
