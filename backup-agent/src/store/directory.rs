//! A directory as a store: a local disk or a mounted share. Objects are plain files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::snapshot_store::{ObjectFacts, SnapshotStore, StoredObject, check_name};
use crate::durable::{
    PART_SUFFIX, create_private_dir, create_private_file, part_path, seal_file, write_whole,
};
use crate::error::{AgentError, Result};

/// A store in a directory.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    root: PathBuf,
}

impl DirectoryStore {
    /// Names the directory; it is created by the first upload.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    /// Runs blocking file work on the runtime's blocking threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(AgentError::Cancelled),
            },
        }
    }
}

#[async_trait]
impl SnapshotStore for DirectoryStore {
    fn describe(&self) -> String {
        format!("file://{}", self.root.display())
    }

    async fn put_file(&self, name: &str, source: &Path, facts: &ObjectFacts) -> Result<()> {
        let (target, source, size) = (self.path(name)?, source.to_owned(), facts.size);
        self.blocking(move || {
            prepare_parent(&target)?;
            let part = part_path(&target);
            let mut input = File::open(&source).map_err(AgentError::io("open", &source))?;
            let mut output = create_private_file(&part)?;
            let copied =
                io::copy(&mut input, &mut output).map_err(AgentError::io("write", &part))?;
            if copied != size {
                return Err(AgentError::damaged(format!(
                    "{} has {copied} bytes where {size} were verified",
                    source.display()
                )));
            }
            drop(output);
            seal_file(&part, &target)
        })
        .await
    }

    async fn put_bytes(&self, name: &str, bytes: Bytes) -> Result<()> {
        let target = self.path(name)?;
        self.blocking(move || {
            prepare_parent(&target)?;
            write_whole(&target, &bytes)
        })
        .await
    }

    async fn get_bytes(&self, name: &str, size_max: u64) -> Result<Bytes> {
        let path = self.path(name)?;
        self.blocking(move || {
            let size = fs::metadata(&path).map_err(AgentError::io("read", &path))?.len();
            if size > size_max {
                return Err(AgentError::damaged(format!(
                    "{} has {size} bytes, more than the {size_max} allowed",
                    path.display()
                )));
            }
            Ok(fs::read(&path).map_err(AgentError::io("read", &path))?.into())
        })
        .await
    }

    async fn get_file(&self, name: &str, target: &Path) -> Result<()> {
        let (source, target) = (self.path(name)?, target.to_owned());
        self.blocking(move || {
            let mut input = File::open(&source).map_err(AgentError::io("open", &source))?;
            let mut output = create_private_file(&target)?;
            io::copy(&mut input, &mut output).map_err(AgentError::io("read", &source))?;
            output.sync_all().map_err(AgentError::io("sync", &target))
        })
        .await
    }

    async fn stat(&self, name: &str) -> Result<Option<StoredObject>> {
        let (path, name) = (self.path(name)?, name.to_owned());
        self.blocking(move || match fs::metadata(&path) {
            Ok(metadata) => object(name, &path, &metadata).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AgentError::io("stat", &path)(error)),
        })
        .await
    }

    async fn list(&self) -> Result<Vec<StoredObject>> {
        let root = self.root.clone();
        self.blocking(move || {
            let mut objects = Vec::new();
            walk(&root, &mut |path, metadata| {
                if let Some(name) = object_name(&root, path)
                    && !name.ends_with(PART_SUFFIX)
                {
                    objects.push(object(name, path, metadata)?);
                }
                Ok(())
            })?;
            objects.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(objects)
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        self.blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(AgentError::io("remove", &path)(error))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn sweep_unfinished(&self, before: Timestamp) -> Result<usize> {
        let root = self.root.clone();
        self.blocking(move || {
            let mut n_swept = 0;
            walk(&root, &mut |path, metadata| {
                let is_part = path.to_str().is_some_and(|path| path.ends_with(PART_SUFFIX));
                if is_part && modified(path, metadata)? < before {
                    fs::remove_file(path).map_err(AgentError::io("remove", path))?;
                    n_swept += 1;
                }
                Ok(())
            })?;
            Ok(n_swept)
        })
        .await
    }
}

fn prepare_parent(target: &Path) -> Result<()> {
    target.parent().map_or(Ok(()), create_private_dir)
}

fn object_name(root: &Path, path: &Path) -> Option<String> {
    path.strip_prefix(root).ok()?.to_str().map(str::to_owned)
}

fn modified(path: &Path, metadata: &fs::Metadata) -> Result<Timestamp> {
    let time = metadata.modified().map_err(AgentError::io("stat", path))?;
    Timestamp::try_from(time).map_err(|error| {
        AgentError::io("stat", path)(io::Error::new(io::ErrorKind::InvalidData, error))
    })
}

fn object(name: String, path: &Path, metadata: &fs::Metadata) -> Result<StoredObject> {
    let modified = modified(path, metadata)?;
    Ok(StoredObject { name, size: metadata.len(), modified, sha256: None })
}

/// Visits every file below `directory`; a directory that is not there holds none. Links are not followed.
fn walk(directory: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata) -> Result<()>) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(AgentError::io("list", directory)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(AgentError::io("list", directory))?;
        let path = entry.path();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // A part file may be renamed, or a backup pruned, while the list is made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(AgentError::io("stat", &path)(error)),
        };
        if metadata.is_dir() {
            walk(&path, visit)?;
        } else if metadata.is_file() {
            visit(&path, &metadata)?;
        }
    }
    Ok(())
}
