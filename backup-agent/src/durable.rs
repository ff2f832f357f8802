//! Files that survive a crash: temporary name → sync → rename → sync the directory. No format is known here.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{AgentError, Result};

/// Suffix of a file that is still being written.
pub const PART_SUFFIX: &str = ".part";

/// The name a file has until it is whole.
pub fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART_SUFFIX);
    name.into()
}

/// Creates a directory and its parents with mode 0700; one that is there already is left as it is.
pub fn create_private_dir(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).map_err(AgentError::io("create", path))
}

/// Opens a new file with mode 0600, replacing a left-over of the same name.
pub fn create_private_file(path: &Path) -> Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(AgentError::io("remove", path)(error));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).map_err(AgentError::io("create", path))
}

/// Syncs a finished part file and gives it its name.
pub fn seal_file(part: &Path, path: &Path) -> Result<()> {
    let file = File::open(part).map_err(AgentError::io("open", part))?;
    file.sync_all().map_err(AgentError::io("sync", part))?;
    fs::rename(part, path).map_err(AgentError::io("rename", part))?;
    sync_parent(path)
}

/// Writes a whole small file: after this returned it is there, complete, or the old one is.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part_path(path);
    let mut file = create_private_file(&part)?;
    file.write_all(bytes).map_err(AgentError::io("write", &part))?;
    drop(file);
    seal_file(&part, path)
}

/// Makes the name of `path` durable.
pub fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = File::open(parent).map_err(AgentError::io("open", parent))?;
    directory.sync_all().map_err(AgentError::io("sync", parent))
}

/// Bytes free for this user on the file system that holds `path`.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let stat =
        rustix::fs::statvfs(path).map_err(|errno| AgentError::io("stat", path)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
