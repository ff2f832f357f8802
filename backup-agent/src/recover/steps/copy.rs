//! Step `copy`: copies the survivor's directory, so that nothing is ever written to the original.

use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::Step;
use crate::durable::{create_private_dir, free_bytes};
use crate::error::{AgentError, Result};
use crate::recover::inventory::read_survivor;
use crate::recover::plan::PlannedStep;
use crate::recover::request::{RecoverRequest, SourceRequest};
use crate::recover::workspace::Workspace;

/// See the file's header.
pub struct CopyDataDir;

/// Source directory and, where it is elsewhere, source log.
fn source(request: &RecoverRequest) -> Option<(&Path, Option<&Path>)> {
    match &request.source {
        SourceRequest::DataDir { path, wal_dir, .. } => Some((path, wal_dir.as_deref())),
        SourceRequest::Backup { .. } => None,
    }
}

#[async_trait]
impl Step for CopyDataDir {
    fn describe(&self, request: &RecoverRequest) -> PlannedStep {
        let from = source(request).map_or(String::new(), |(path, _)| path.display().to_string());
        PlannedStep {
            id: "copy".into(),
            title: format!("copy {from} into the work directory; the original is never written to"),
            check: "the copy reads like the original".into(),
            equivalent: vec![format!("cp -a {from} WORK/copy")],
            undo: "the copy is deleted".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let Some((path, wal_dir)) = source(&workspace.request) else { return Ok(()) };
        let (path, wal_dir) = (path.to_owned(), wal_dir.map(Path::to_owned));
        let (directory, target) = (workspace.directory.clone(), workspace.copy());
        let copied = tokio::task::spawn_blocking(move || {
            remove(&target)?;
            check_room(&directory, &[Some(path.clone()), wal_dir.clone()])?;
            copy_tree(&path, &target)?;
            match wal_dir {
                Some(wal_dir) => copy_tree(&wal_dir, &target.join("member").join("wal")),
                None => Ok(()),
            }
        });
        copied.await.map_err(|_| AgentError::Cancelled)?
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let Some((path, wal_dir)) = source(&workspace.request) else { return Ok(String::new()) };
        let original = read_survivor(path, wal_dir).await?;
        let copy = read_survivor(&workspace.copy(), None).await?;
        if (copy.database_revision, copy.last_index)
            == (original.database_revision, original.last_index)
        {
            return Ok(format!("log up to entry {}", copy.last_index));
        }
        Err(AgentError::damaged("the copy differs from the original: did its server start?"))
    }

    async fn undo(&self, workspace: &Workspace) -> Result<String> {
        remove(&workspace.copy())?;
        Ok("the copy is deleted".into())
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(AgentError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn check_room(directory: &Path, sources: &[Option<PathBuf>]) -> Result<()> {
    let mut needed = 0;
    for source in sources.iter().flatten() {
        needed += tree_bytes(source)?;
    }
    // The copy, the snapshot taken from it, and some room for the replay's own log.
    let needed = needed * 2 + (128 << 20);
    let free = free_bytes(directory)?;
    if free >= needed {
        return Ok(());
    }
    Err(AgentError::refused(
        format!("{} has {free} bytes free, the recovery needs {needed}", directory.display()),
        "Free space there, or name another directory with --work-dir.",
    ))
}

fn entries(path: &Path) -> Result<Vec<(PathBuf, fs::FileType)>> {
    let failed = |error| AgentError::io("list", path)(error);
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        found.push((entry.path(), entry.file_type().map_err(failed)?));
    }
    Ok(found)
}

fn tree_bytes(path: &Path) -> Result<u64> {
    let mut bytes = 0;
    for (path, kind) in entries(path)? {
        if kind.is_dir() {
            bytes += tree_bytes(&path)?;
        } else if kind.is_file() {
            bytes += fs::metadata(&path).map_err(AgentError::io("stat", &path))?.len();
        }
    }
    Ok(bytes)
}

/// Copies files and directories; links, sockets and the like are left out.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    create_private_dir(to)?;
    for (path, kind) in entries(from)? {
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if kind.is_dir() {
            copy_tree(&path, &target)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(AgentError::io("copy", &path))?;
        }
    }
    Ok(())
}
