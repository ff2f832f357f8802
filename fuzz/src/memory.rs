//! Files in memory behind the interface of `etcd-files`, so that a run touches no disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_etcd_files::disk::{Disk, File};

/// A file that cannot be changed.
#[derive(Debug)]
pub struct MemoryFile(pub Vec<u8>);

impl File for MemoryFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(buffer.len());
        let found = end.and_then(|end| self.0.get(start..end));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, _data: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// One directory of such files.
#[derive(Debug)]
#[allow(dead_code, reason = "only the log has a directory")]
pub struct MemoryDisk(pub Vec<(PathBuf, Arc<MemoryFile>)>);

impl Disk for MemoryDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let found = self.0.iter().find(|(name, _)| name == path);
        found.map(|(_, file)| file.clone() as Arc<dyn File>).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, _path: &Path) -> io::Result<Arc<dyn File>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self, _path: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.iter().map(|(name, _)| name.clone()).collect())
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.iter().any(|(name, _)| name == path)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}
