//! Where things are in a data directory, and whether it is in use.

use std::fs;
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt;

use crate::error::{Error, Result};

/// A data directory and, where it is kept elsewhere, its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
    wal: Option<PathBuf>,
}

/// See [`DataDir::lock`]. The lock goes when this is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock only")] fs::File);

impl DataDir {
    /// Names the paths; looks at nothing. `wal` is the log's directory where it is not `member/wal`.
    pub fn new(root: &Path, wal: Option<&Path>) -> DataDir {
        DataDir { root: root.to_owned(), wal: wal.map(Path::to_owned) }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `member`: everything that belongs to the member.
    pub fn member(&self) -> PathBuf {
        self.root.join("member")
    }

    /// The log's directory.
    pub fn wal(&self) -> PathBuf {
        self.wal.clone().unwrap_or_else(|| self.member().join("wal"))
    }

    /// `member/snap`.
    pub fn snap(&self) -> PathBuf {
        self.member().join("snap")
    }

    /// etcd's database.
    pub fn database(&self) -> PathBuf {
        self.snap().join("db")
    }

    /// A database that a leader sent, received whole, for the log index it stands for.
    pub fn received_database(&self, index: u64) -> PathBuf {
        self.snap().join(format!("{index:016x}.snap.db"))
    }

    /// True when no server has the database open. bbolt holds an exclusive lock while it has.
    pub fn is_idle(&self) -> Result<bool> {
        let path = self.database();
        let file = fs::File::open(&path).map_err(Error::io("open", &path))?;
        // The lock goes when the file is closed, at the end of this function.
        FileExt::try_lock_shared(&file).map_err(Error::io("lock", &path))
    }

    /// Keeps every etcd away from the directory as long as the result lives, without changing a byte: takes the lock that
    /// bbolt takes. `None` where a server has it.
    pub fn lock(&self) -> Result<Option<Lock>> {
        let path = self.database();
        let file = fs::File::open(&path).map_err(Error::io("open", &path))?;
        let is_ours = FileExt::try_lock_exclusive(&file).map_err(Error::io("lock", &path))?;
        Ok(is_ours.then_some(Lock(file)))
    }

    /// True when the root is absent, or an empty directory.
    pub fn is_empty(&self) -> bool {
        match fs::read_dir(&self.root) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}
