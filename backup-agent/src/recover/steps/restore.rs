//! Step `restore`: makes the first member's data directory, with new ids, for a cluster of one.

use std::sync::Arc;

use async_trait::async_trait;
use quorate_etcd_files::datadir::{DataDir, InitialCluster};
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_etcd_files::wal::{Reader, Replay};

use super::Step;
use crate::error::{AgentError, Result};
use crate::recover::plan::PlannedStep;
use crate::recover::request::RecoverRequest;
use crate::recover::workspace::Workspace;
use crate::restore::{Target, restore};
use crate::take::{file_error, inspect, inspect_database};

/// See the file's header.
pub struct RestoreFirst;

#[async_trait]
impl Step for RestoreFirst {
    fn describe(&self, request: &RecoverRequest) -> PlannedStep {
        let first = request.first();
        let mut command = format!(
            "etcdutl snapshot restore WORK/snapshot.db --data-dir {} --name {} --initial-cluster {} \
             --initial-cluster-token {} --initial-advertise-peer-urls {}",
            request.data_dir.display(),
            first.name,
            request.initial_cluster(1),
            request.token,
            first.peer_urls.join(",")
        );
        if let Some(amount) = request.bump_revision {
            command.push_str(&format!(" --bump-revision {amount} --mark-compacted"));
        }
        PlannedStep {
            id: "restore".into(),
            title: format!(
                "make the data directory {} for {}",
                request.data_dir.display(),
                first.name
            ),
            check: "it holds what the snapshot holds, to the byte".into(),
            equivalent: vec![command],
            undo: "the new directory is renamed aside".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let request = &workspace.request;
        // An earlier run may have made it and been cut short before it could say so.
        if is_ours(request).await? {
            return Ok(());
        }
        let content = inspect(&workspace.snapshot()).await?;
        let target = Target {
            data_dir: request.data_dir.clone(),
            wal_dir: None,
            name: request.first().name.clone(),
            initial_cluster: request.first_cluster(),
            token: request.token.clone(),
            peer_urls: request.first().peer_urls.clone(),
            bump_revision: request.bump_revision,
        };
        restore(&workspace.snapshot(), &content, &target).await.map(|_| ())
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let data_dir = DataDir::new(&workspace.request.data_dir, None);
        let restored = inspect_database(&data_dir.database()).await?;
        Ok(format!("revision {}, HashKV {}", restored.revision, restored.hash_kv))
    }

    async fn undo(&self, workspace: &Workspace) -> Result<String> {
        let path = &workspace.request.data_dir;
        if !is_ours(&workspace.request).await? {
            return Ok(format!("{} is not of this recovery and left alone", path.display()));
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".undone-{}", jiff::Timestamp::now().as_second()));
        std::fs::rename(path, &aside).map_err(AgentError::io("rename", path))?;
        Ok(format!("renamed to {}", aside.to_string_lossy()))
    }
}

/// True when the data directory was made by this recovery: its token, and so its cluster id, is nobody else's.
async fn is_ours(request: &RecoverRequest) -> Result<bool> {
    let data_dir = DataDir::new(&request.data_dir, None);
    if !data_dir.wal().exists() {
        return Ok(false);
    }
    let cluster = InitialCluster::new(&request.first_cluster(), &request.token);
    let cluster_id = cluster.map_err(file_error)?.cluster_id;
    let read = tokio::task::spawn_blocking(move || {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        Replay::read(&mut Reader::open(&disk, &data_dir.wal())?)
    });
    let replay = read.await.map_err(|_| AgentError::Cancelled)?.map_err(file_error)?;
    Ok(replay.metadata.cluster_id() == cluster_id)
}
