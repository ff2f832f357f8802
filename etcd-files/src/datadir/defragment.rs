//! Writes a database anew in its place: for `etcdutl defrag`, and wherever rows of a stopped member are changed.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::claim::{Access, Claim};
use crate::bbolt::{Database, RewritePlan, rewrite};
use crate::error::{Error, Result};

/// Sizes of the database file in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defragmented {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Writes all rows of a database into a fresh file and puts it in the place of the old one. A crash leaves the one or
/// the other. `patience` is how long to wait for whoever has the database open; `None` means for ever.
///
/// # Errors
/// The database is not there, in use, or damaged; then it is left as it was.
pub fn defragment(database: &Path, patience: Option<Duration>) -> Result<Defragmented> {
    let _claim = Claim::take(database, Access::Exclusive, patience)?;
    replace(database, RewritePlan::new())
}

/// Applies `plan` to the database, of which the caller holds the exclusive lock.
pub(super) fn replace(path: &Path, plan: RewritePlan) -> Result<Defragmented> {
    let source = Database::open(path)?;
    let before = fs::metadata(path).map_err(Error::io("measure", path))?.len();
    let mut building = path.as_os_str().to_owned();
    building.push(".tmp.quorate");
    let building = PathBuf::from(building);
    let fill = || -> Result<u64> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&building).map_err(Error::io("create", &building))?;
        let layout = rewrite(&source, plan, &file, &building)?;
        file.sync_all().map_err(Error::io("sync", &building))?;
        fs::rename(&building, path).map_err(Error::io("rename", &building))?;
        Ok(layout.size())
    };
    let after = fill().inspect_err(|_| {
        // What failed leaves no trace; the first error is the one to report.
        let _ = fs::remove_file(&building);
    })?;
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", folder))?;
    Ok(Defragmented { before, after })
}
