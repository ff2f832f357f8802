//! Steps `keep` and `backup`: the rescued snapshot goes into the store before anything is changed, and a fresh backup of
//! the recovered cluster follows at the end.

use async_trait::async_trait;

use super::Step;
use crate::catalogue::Catalogue;
use crate::error::{AgentError, Result};
use crate::manifest::{Manifest, Source};
use crate::recover::inventory::Inventory;
use crate::recover::plan::PlannedStep;
use crate::recover::request::RecoverRequest;
use crate::recover::workspace::Workspace;
use crate::take::{Provenance, ReadBack, TakeOptions, inspect, store_snapshot, take};

/// Stores what was rescued.
pub struct KeepRescued;

/// Backs the recovered cluster up.
pub struct FreshBackup;

#[async_trait]
impl Step for KeepRescued {
    fn describe(&self, _request: &RecoverRequest) -> PlannedStep {
        PlannedStep {
            id: "keep".into(),
            title: "store the rescued snapshot as a backup, before anything is changed".into(),
            check: "its manifest is in the store".into(),
            equivalent: vec!["aws s3 cp WORK/snapshot.db s3://…".into()],
            undo: "it stays: retention deletes it one day".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let Some(store) = &workspace.store else { return Ok(()) };
        let Inventory::Survivor(survivor) = &workspace.inventory else { return Ok(()) };
        let content = inspect(&workspace.snapshot()).await?;
        let member = workspace.inventory.source_member();
        let provenance = Provenance {
            cluster_id: survivor.cluster_id.clone(),
            source: Source {
                endpoint: "rescued from a data directory".into(),
                member_id: survivor.member_id.clone(),
                member_name: member.map(|member| member.name.clone()).unwrap_or_default(),
                is_leader: false,
                server_version: String::new(),
                cluster_version: content.cluster_version.clone(),
                storage_version: content.storage_version.clone(),
            },
            members: survivor.members.clone(),
            alarms: Vec::new(),
        };
        let (file, directory) = (workspace.snapshot(), &workspace.directory);
        let stored =
            store_snapshot(store.as_ref(), &file, provenance, ReadBack::Full, directory).await?;
        (workspace.say)(&format!("      stored as backup {}", stored.id));
        Ok(())
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let revision = inspect(&workspace.snapshot()).await?.revision;
        let cluster_id = workspace.inventory.cluster_id();
        let found = newest(workspace, cluster_id).await?;
        match found.filter(|backup| backup.snapshot.revision == revision) {
            Some(backup) => Ok(format!("backup {}", backup.id)),
            None => Err(AgentError::NotFound { what: "the rescued backup is not listed".into() }),
        }
    }

    async fn undo(&self, _workspace: &Workspace) -> Result<String> {
        Ok("the rescued backup stays in the store".into())
    }
}

#[async_trait]
impl Step for FreshBackup {
    fn describe(&self, _request: &RecoverRequest) -> PlannedStep {
        PlannedStep {
            id: "backup".into(),
            title: "take a first backup of the recovered cluster".into(),
            check: "its manifest is in the store and no member contradicts it".into(),
            equivalent: vec!["quorate-backup-agent backup now".into()],
            undo: "it stays: retention deletes it one day".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let Some(store) = &workspace.store else { return Ok(()) };
        let client = workspace.client(workspace.request.first()).await?;
        let options =
            TakeOptions { spool_dir: workspace.directory.clone(), read_back: ReadBack::Head };
        let manifest = take(&client, store.as_ref(), &options).await?;
        if manifest.is_counted() {
            return Ok(());
        }
        Err(AgentError::damaged(format!("backup {} is disputed by a member", manifest.id)))
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let client = workspace.client(workspace.request.first()).await?;
        let status = client.maintenance().status().await;
        let status = status.map_err(|error| AgentError::Cluster { what: error.to_string() })?;
        let cluster_id = format!("{:x}", status.header.unwrap_or_default().cluster_id);
        match newest(workspace, &cluster_id).await? {
            Some(backup) => Ok(format!("backup {}", backup.id)),
            None => Err(AgentError::NotFound { what: "the fresh backup is not listed".into() }),
        }
    }
}

async fn newest(workspace: &Workspace, cluster_id: &str) -> Result<Option<Manifest>> {
    let Some(store) = &workspace.store else { return Ok(None) };
    let catalogue = Catalogue::read(store.as_ref()).await?;
    let mut backups = catalogue.backups.into_iter().rev();
    Ok(backups.find(|backup| backup.cluster_id == cluster_id && backup.is_counted()))
}
