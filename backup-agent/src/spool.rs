//! The local room of one run: a private directory that is removed with the run, and after a crash by the next one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::durable::{create_private_dir, create_private_file};
use crate::error::{AgentError, Result};

const PREFIX: &str = "quorate-backup-";
const LOCK: &str = "in-use.lock";

/// A private directory, locked while it is in use and removed on drop.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    /// Holding the lock tells the next run that this directory is not a left-over.
    _lock: File,
}

impl Spool {
    /// Makes a new directory in `parent` and removes those that a crashed run left there.
    pub fn open(parent: &Path) -> Result<Self> {
        create_private_dir(parent)?;
        sweep(parent);
        let path = parent.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
        create_private_dir(&path)?;
        let lock = create_private_file(&path.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| AgentError::io("lock", &path)(errno.into()))?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "spool directory not removed");
        }
    }
}

/// Removes spool directories nobody holds. A failure only leaves them for the next run.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_spool = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_spool {
            continue;
        }
        // A directory without its lock file belongs to a run that has not got that far yet.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            tracing::info!(path = %entry.path().display(), "removing what a crashed run left");
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A live spool is left alone by the next run, a dead one is removed, and a dropped one removes itself.
    #[test]
    fn sweeps_only_what_is_dead() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let live = Spool::open(parent.path()).expect("a spool");
        let dead = parent.path().join("quorate-backup-dead");
        fs::create_dir(&dead).expect("a directory");
        fs::write(dead.join(LOCK), b"").expect("a lock file");

        let second = Spool::open(parent.path()).expect("a spool");
        assert!(live.path().exists());
        assert!(!dead.exists());
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }
}
