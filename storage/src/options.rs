//! How a [`super::Backend`] is opened: the engine, its limits, and what tests put in place of the real world.

use super::fault_engine::Faults;
use quorate_etcd_files::disk::{Disk, OsDisk};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Which engine keeps the state. See `docs/adr/0002-state-engine.md` for the choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// redb, the default.
    #[default]
    Redb,
    /// sled 0.34.7, made to sync for real.
    Sled,
    /// Nothing on disk. For tests.
    Memory,
}

impl EngineKind {
    /// The name as in `--storage-engine`, and the suffix of the engine's files.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Redb => "redb",
            EngineKind::Sled => "sled",
            EngineKind::Memory => "memory",
        }
    }

    /// Rows after which a flush should begin, so that a commit does not keep readers waiting: sled holds a lock of the
    /// whole process for 4.5 µs a row.
    pub(super) const fn commit_rows_max(self) -> usize {
        match self {
            EngineKind::Redb | EngineKind::Memory => usize::MAX,
            EngineKind::Sled => 1_000,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [EngineKind::Redb, EngineKind::Sled, EngineKind::Memory];
        let found = all.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("unknown storage engine {name:?}. Choose redb or sled"))
    }
}

/// Whether writes wait for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Every flush waits until the disk has it.
    #[default]
    Always,
    /// Never wait: a power loss may take everything (`--unsafe-no-fsync`).
    Never,
}

/// Told how long each durable commit took.
pub type CommitObserver = Arc<dyn Fn(Duration) + Send + Sync>;

/// See the module. `Default` is what production uses.
#[derive(Clone)]
pub struct BackendOptions {
    /// The engine of a new state; an existing one must match.
    pub engine: EngineKind,
    /// Written rows become durable at the latest after this time (etcd's `--backend-batch-interval`).
    pub flush_interval: Duration,
    /// Or as soon as this many rows wait (etcd's `--backend-batch-limit`).
    pub flush_rows: usize,
    /// A writer waits while more than this waits to be flushed, in bytes.
    pub unflushed_bytes_max: usize,
    /// Memory for the engine's pages, in bytes.
    pub cache_bytes: usize,
    /// Whether writes wait for the disk.
    pub sync: SyncPolicy,
    /// Observes every durable commit.
    pub on_commit: Option<CommitObserver>,
    /// The disk. sled does its own I/O and ignores it.
    pub disk: Arc<dyn Disk>,
    /// Faults to inject, for tests.
    pub faults: Option<Arc<Faults>>,
}

impl Default for BackendOptions {
    fn default() -> Self {
        BackendOptions {
            engine: EngineKind::default(),
            flush_interval: Duration::from_millis(100),
            flush_rows: 10_000,
            unflushed_bytes_max: 64 << 20,
            cache_bytes: 256 << 20,
            sync: SyncPolicy::default(),
            on_commit: None,
            disk: Arc::new(OsDisk),
            faults: None,
        }
    }
}

impl fmt::Debug for BackendOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BackendOptions")
            .field("engine", &self.engine)
            .field("flush_interval", &self.flush_interval)
            .field("flush_rows", &self.flush_rows)
            .field("unflushed_bytes_max", &self.unflushed_bytes_max)
            .field("cache_bytes", &self.cache_bytes)
            .field("sync", &self.sync)
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}
