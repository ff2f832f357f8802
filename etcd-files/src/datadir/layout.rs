//! Where things are in a data directory, and whether it is in use.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::claim::{Access, Claim};
use crate::error::Result;

/// A data directory and, where it is kept elsewhere, its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
    wal: Option<PathBuf>,
}

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

    /// Where the log is below `member`; `None` where it is elsewhere. The same directory has many names: relative ones,
    /// those with `..`, those through links. A log inside `member` has to be known as such under all of them, or it would
    /// be moved with `member`, or stand in its way.
    pub fn wal_in_member(&self) -> Option<PathBuf> {
        let Some(wal) = &self.wal else { return Some(PathBuf::from("wal")) };
        let member = resolve(&self.member());
        // The name may be a link itself: in `member` to somewhere, or from somewhere into `member`.
        let paths = [resolve_folder(wal), resolve(wal)];
        paths.iter().find_map(|wal| wal.strip_prefix(&member).ok()).map(Path::to_owned)
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
        Ok(Claim::try_take(&self.database(), Access::Shared)?.is_some())
    }

    /// Keeps every etcd away from the directory as long as the result lives, without changing a byte: takes the lock that
    /// bbolt takes. `None` where a server has it.
    pub fn lock(&self) -> Result<Option<Claim>> {
        Claim::try_take(&self.database(), Access::Exclusive)
    }

    /// True when the root is absent, or an empty directory.
    pub fn is_empty(&self) -> bool {
        match fs::read_dir(&self.root) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

/// The path without links, `.` and `..`, as far as it exists; what does not is taken as it is written.
pub fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let exists =
        |ancestor: &Path| ancestor.canonicalize().ok().map(|real| (real, ancestor.to_owned()));
    let Some((mut resolved, ancestor)) = absolute.ancestors().find_map(exists) else {
        return absolute;
    };
    for part in absolute.strip_prefix(&ancestor).unwrap_or(Path::new("")).components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved
}

/// The same for a directory whose own name may be a link that is not to be followed.
fn resolve_folder(path: &Path) -> PathBuf {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolve(parent).join(name),
        _ => resolve(path),
    }
}
