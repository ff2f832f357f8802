//! Step `replay`: makes a snapshot of the copy with its log applied. An etcd's log is applied here, by etcd's rules, and no
//! server is needed. Quorate's, and an etcd's that holds what we do not know, is applied by the server itself, alone and on
//! loopback, and the snapshot is taken from it.

use std::path::Path;

use async_trait::async_trait;
use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::datadir::{DataDir, Survivor, TailPolicy};
use quorate_etcd_files::rescue::rescue;
use sha2::{Digest, Sha256};

use super::Step;
use crate::durable::{create_private_file, part_path, seal_file};
use crate::error::{AgentError, Result};
use crate::loopback_server::{LoopbackOptions, LoopbackServer, is_auth_error};
use crate::recover::inventory::{Inventory, ServerKind};
use crate::recover::plan::PlannedStep;
use crate::recover::request::{RecoverRequest, SourceRequest};
use crate::recover::workspace::Workspace;
use crate::take::{file_error, inspect, stream};

/// See the file's header.
pub struct Replay;

#[async_trait]
impl Step for Replay {
    fn describe(&self, request: &RecoverRequest) -> PlannedStep {
        let binary = request.server_binary.display();
        let check = "the snapshot is whole and not older than the survivor's database";
        if is_etcd(request) {
            return PlannedStep {
                id: "replay".into(),
                title: "apply the log of the copy to its database, and write both as a snapshot"
                    .into(),
                check: check.into(),
                equivalent: vec!["(no command of etcd does this without starting a server)".into()],
                undo: "the snapshot is deleted".into(),
            };
        }
        PlannedStep {
            id: "replay".into(),
            title: format!(
                "replay the log of the copy with {binary}, on loopback only, and take a snapshot"
            ),
            check: check.into(),
            equivalent: vec![
                format!(
                    "{binary} --data-dir WORK/copy --force-new-cluster --listen-client-urls http://127.0.0.1:0 …"
                ),
                "etcdctl snapshot save WORK/snapshot.db".into(),
            ],
            undo: "the snapshot is deleted".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        if is_etcd(&workspace.request) && rescue_copy(workspace).await? {
            return Ok(());
        }
        let name = workspace.inventory.source_member().map(|member| member.name.clone());
        let server = LoopbackServer::start(&LoopbackOptions {
            binary: workspace.request.server_binary.clone(),
            data_dir: workspace.copy(),
            name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| "survivor".into()),
            // A Quorate copy is a cluster of one already.
            is_force_new_cluster: is_etcd(&workspace.request),
            log_file: workspace.replay_log(),
            credentials: workspace.access.credentials.clone(),
        })
        .await?;
        let part = part_path(&workspace.snapshot());
        let streamed = take_snapshot(&server, &part).await;
        server.stop().await?;
        if !streamed? {
            if !is_etcd(&workspace.request) {
                return Err(AgentError::refused(
                    "auth is on, and the replaying server wants to know who asks",
                    "Give --user and --password-file of a user with the root role.",
                ));
            }
            let database = workspace.copy().join("member").join("snap").join("db");
            let made = part.clone();
            let imaged = tokio::task::spawn_blocking(move || image(&database, &made));
            imaged.await.map_err(|_| AgentError::Cancelled)??;
        }
        seal_file(&part, &workspace.snapshot())
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let content = inspect(&workspace.snapshot()).await?;
        if let Inventory::Survivor(survivor) = &workspace.inventory
            && let Some(revision) = survivor.database_revision
            && content.revision < revision
        {
            return Err(AgentError::damaged(format!(
                "the snapshot ends at revision {}, the survivor's database had {revision}",
                content.revision
            )));
        }
        Ok(format!("revision {}, {} keys", content.revision, content.total_keys))
    }

    async fn undo(&self, workspace: &Workspace) -> Result<String> {
        super::fetch::remove_snapshot(workspace)
    }
}

fn is_etcd(request: &RecoverRequest) -> bool {
    matches!(request.source, SourceRequest::DataDir { server: ServerKind::Etcd, .. })
}

/// Applies the log of an etcd's copy; false where it holds an entry that only a server can apply.
async fn rescue_copy(workspace: &Workspace) -> Result<bool> {
    let (copy, target) = (DataDir::new(&workspace.copy(), None), workspace.snapshot());
    let rescued = tokio::task::spawn_blocking(move || -> quorate_etcd_files::Result<_> {
        if target.exists() {
            // Of an earlier try: the step was not done, or it would not run again.
            std::fs::remove_file(&target)
                .map_err(quorate_etcd_files::Error::io("remove", &target))?;
        }
        // Where the tail is kept, the step before has marked it as committed in the copy.
        rescue(&Survivor::open(&copy)?, TailPolicy::CommittedOnly, &target)
    });
    match rescued.await.map_err(|_| AgentError::Cancelled)? {
        Ok(rescued) => {
            tracing::info!(
                entries = rescued.entries,
                revision = rescued.revision,
                "applied the log"
            );
            Ok(true)
        }
        Err(error @ quorate_etcd_files::Error::Unsupported { .. }) => {
            tracing::warn!(%error, "the server has to apply this log");
            Ok(false)
        }
        Err(error) => Err(file_error(error)),
    }
}

/// Streams a snapshot; false where the server wants credentials nobody gave.
async fn take_snapshot(server: &LoopbackServer, target: &Path) -> Result<bool> {
    let client = server.client().await?;
    if let Err(error) = client.maintenance().hash_kv(0).await
        && is_auth_error(&error)
    {
        return Ok(false);
    }
    match stream(&client, &client.current_endpoint(), target, 0).await {
        Ok(_) => Ok(true),
        Err(AgentError::Cluster { what }) if what.contains("permission denied") => Ok(false),
        Err(AgentError::Cluster { what }) if what.contains("user name is empty") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a snapshot file of a cleanly closed database: its pages, and their digest.
fn image(database: &Path, target: &Path) -> Result<()> {
    use std::io::{Read, Write};
    let size = Database::open(database).map_err(file_error)?.size();
    let source = std::fs::File::open(database).map_err(AgentError::io("open", database))?;
    let mut source = source.take(size);
    let mut file = create_private_file(target)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let n_read = source.read(&mut buffer).map_err(AgentError::io("read", database))?;
        if n_read == 0 {
            break;
        }
        hasher.update(&buffer[..n_read]);
        file.write_all(&buffer[..n_read]).map_err(AgentError::io("write", target))?;
    }
    file.write_all(&hasher.finalize()).map_err(AgentError::io("write", target))
}
