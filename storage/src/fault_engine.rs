//! An engine that fails on demand, around any other; for tests of what the rooms above do then.

use super::EngineError;
use super::engine::{Change, Durability, Engine, EngineSizes, EngineView};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The switchboard of injected faults. One may serve several engines.
#[derive(Debug, Default)]
pub struct Faults {
    /// Commits left until one fails; 0 means none will.
    commits_left: AtomicU64,
    is_disk_full: AtomicBool,
    is_broken: AtomicBool,
    n_commits: AtomicU64,
}

impl Faults {
    /// Makes the `n`-th commit from now fail (1 is the next), and every later one.
    pub fn fail_commit(&self, n: u64) {
        self.commits_left.store(n, Ordering::SeqCst);
    }

    /// Makes commits fail as on a full disk, or lets them pass again.
    pub fn set_disk_full(&self, is_full: bool) {
        self.is_disk_full.store(is_full, Ordering::SeqCst);
    }

    /// Number of commits asked for so far.
    pub fn n_commits(&self) -> u64 {
        self.n_commits.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), EngineError> {
        self.n_commits.fetch_add(1, Ordering::SeqCst);
        let count_down = |left: u64| left.checked_sub(1);
        let left = self.commits_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count_down);
        if left == Ok(1) {
            self.is_broken.store(true, Ordering::SeqCst);
        }
        if self.is_disk_full.load(Ordering::SeqCst) {
            return Err(EngineError::Io(io::Error::from(io::ErrorKind::StorageFull)));
        }
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(EngineError::Io(io::Error::other("injected failure of a commit")));
        }
        Ok(())
    }
}

/// See the module.
pub struct FaultEngine {
    inner: Arc<dyn Engine>,
    faults: Arc<Faults>,
}

impl FaultEngine {
    /// Puts `faults` in front of `inner`.
    pub fn new(inner: Arc<dyn Engine>, faults: Arc<Faults>) -> Self {
        FaultEngine { inner, faults }
    }
}

impl Engine for FaultEngine {
    fn commit(&self, changes: &[Change], durability: Durability) -> Result<(), EngineError> {
        self.faults.check()?;
        self.inner.commit(changes, durability)
    }

    fn latest(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        self.inner.latest()
    }

    fn pin(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        self.inner.pin()
    }

    fn sizes(&self) -> EngineSizes {
        self.inner.sizes()
    }
}
