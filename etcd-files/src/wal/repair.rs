//! What opening a log for writing puts right after a crash. Only space behind the last whole record is touched.

use std::path::{Path, PathBuf};

use super::behind::is_zero;
use super::reader::Tail;
use super::replay::Repair;
use crate::disk::{Disk, File};
use crate::error::{Error, Result};

/// Bytes copied or examined at a time.
const COPY_CHUNK: u64 = 1 << 20;

/// `path` with `suffix` behind its last name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes segments that were being made ahead when the process died.
pub(super) fn remove_left_overs(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for path in disk.list(dir).map_err(Error::io("list", dir))? {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            disk.remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Copies a torn segment to `<name>.broken`, then cuts it behind its last whole record.
pub(super) fn put_aside(
    disk: &dyn Disk,
    dir: &Path,
    tail: &Tail,
    file: &dyn File,
) -> Result<Repair> {
    let path = &tail.segment.path;
    let broken = with_suffix(path, ".broken");
    if disk.exists(&broken) {
        disk.remove_file(&broken).map_err(Error::io("remove", &broken))?;
    }
    let copy = disk.create(&broken).map_err(Error::io("create", &broken))?;
    let length = file.len().map_err(Error::io("measure", path))?;
    let mut chunk = Vec::new();
    let mut at = 0;
    while at < length {
        chunk.resize((length - at).min(COPY_CHUNK) as usize, 0);
        file.read_exact_at(&mut chunk, at).map_err(Error::io("read", path))?;
        copy.write_all_at(&chunk, at).map_err(Error::io("write", &broken))?;
        at += chunk.len() as u64;
    }
    copy.sync_data().map_err(Error::io("sync", &broken))?;
    disk.sync_dir(dir).map_err(Error::io("sync", dir))?;
    file.set_len(tail.offset).map_err(Error::io("truncate", path))?;
    Ok(Repair { path: path.clone(), offset: tail.offset, broken })
}

/// Zeroes what a crash may have left behind the last record, so that it can never be taken for a record later.
pub(super) fn zero_behind(file: &dyn File, path: &Path, offset: u64) -> Result<()> {
    let length = file.len().map_err(Error::io("measure", path))?;
    let mut chunk = Vec::new();
    let mut at = offset;
    while at < length {
        chunk.resize((length - at).min(COPY_CHUNK) as usize, 0);
        file.read_exact_at(&mut chunk, at).map_err(Error::io("read", path))?;
        if !is_zero(&chunk) {
            chunk.fill(0);
            file.write_all_at(&chunk, at).map_err(Error::io("write", path))?;
        }
        at += chunk.len() as u64;
    }
    Ok(())
}
