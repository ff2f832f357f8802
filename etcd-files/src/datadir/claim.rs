//! The lock that bbolt holds on a database while a program has it open, taken for as long as we work on the file.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt;

use crate::error::{Error, Result};

/// How often a lock that somebody holds is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who may have the file open beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Other readers.
    Shared,
    /// Nobody.
    Exclusive,
}

/// The lock; it ends with this value.
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

impl Claim {
    /// Waits for the lock of a database file, for ever where `patience` is `None`.
    ///
    /// # Errors
    /// The file is not there, or still in use when patience ends.
    pub fn take(path: &Path, access: Access, patience: Option<Duration>) -> Result<Claim> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            if let Some(claim) = Claim::try_take(path, access)? {
                return Ok(claim);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let what = "in use: stop the server that has this database open, or wait longer with --timeout";
                return Err(Error::Refused(format!("{}: {what}", path.display())));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The same without waiting; `None` where somebody has it.
    ///
    /// # Errors
    /// The file is not there.
    pub fn try_take(path: &Path, access: Access) -> Result<Option<Claim>> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let taken = match access {
            Access::Shared => FileExt::try_lock_shared(&file),
            Access::Exclusive => FileExt::try_lock_exclusive(&file),
        };
        Ok(taken.map_err(Error::io("lock", path))?.then_some(Claim { _file: file }))
    }
}
