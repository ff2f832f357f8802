//! Step `fetch`: downloads the backup and verifies every byte of it.

use async_trait::async_trait;

use super::Step;
use crate::durable::{part_path, seal_file};
use crate::error::{AgentError, Result};
use crate::recover::inventory::Inventory;
use crate::recover::plan::PlannedStep;
use crate::recover::request::{RecoverRequest, SourceRequest};
use crate::recover::workspace::Workspace;
use crate::take::{fetch, verify_against};

/// See the file's header.
pub struct FetchBackup;

#[async_trait]
impl Step for FetchBackup {
    fn describe(&self, request: &RecoverRequest) -> PlannedStep {
        let id = match &request.source {
            SourceRequest::Backup { id, .. } => id.as_str(),
            SourceRequest::DataDir { .. } => "",
        };
        PlannedStep {
            id: "fetch".into(),
            title: format!("download backup {id}"),
            check: "size, hash, structure and content are those of its manifest".into(),
            equivalent: vec!["etcdutl snapshot status WORK/snapshot.db".into()],
            undo: "the download is deleted".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let (Some(store), Inventory::Backup(backup)) = (&workspace.store, &workspace.inventory)
        else {
            return Err(AgentError::refused("no store was named", "Give --store."));
        };
        let part = part_path(&workspace.snapshot());
        fetch(store.as_ref(), &backup.manifest.snapshot, &part).await?;
        seal_file(&part, &workspace.snapshot())
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let Inventory::Backup(backup) = &workspace.inventory else { return Ok(String::new()) };
        let content = verify_against(&workspace.snapshot(), &backup.manifest.snapshot).await?;
        Ok(format!("revision {}, {} keys", content.revision, content.total_keys))
    }

    async fn undo(&self, workspace: &Workspace) -> Result<String> {
        remove_snapshot(workspace)
    }
}

/// Deletes the snapshot in the work directory.
pub fn remove_snapshot(workspace: &Workspace) -> Result<String> {
    let path = workspace.snapshot();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(AgentError::io("remove", &path)(error))
        }
        _ => Ok("the snapshot in the work directory is deleted".into()),
    }
}
