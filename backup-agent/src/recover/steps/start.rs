//! Step `start-first`, and how any member is started: by the operator's hook, or by the operator while the recovery
//! waits.

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use quorate_client::proto::etcdserverpb::StatusResponse;
use tokio::process::Command;
use tokio::time::Instant;

use super::Step;
use crate::error::{AgentError, Result};
use crate::loopback_server::{auth_refused, is_auth_error};
use crate::recover::plan::PlannedStep;
use crate::recover::request::{MemberTarget, RecoverRequest};
use crate::recover::workspace::Workspace;
use crate::take::inspect;

const POLL_PAUSE: Duration = Duration::from_millis(200);
/// Longest run of a start hook.
const HOOK_TIMEOUT: Duration = Duration::from_secs(300);

/// See the file's header.
pub struct StartFirst;

#[async_trait]
impl Step for StartFirst {
    fn describe(&self, request: &RecoverRequest) -> PlannedStep {
        PlannedStep {
            id: "start-first".into(),
            title: format!("start {} from {}", request.first().name, request.data_dir.display()),
            check: "it leads a cluster of one and has the snapshot's HashKV".into(),
            equivalent: vec![start_command(request, 0)],
            undo: "stop it; the directory is renamed aside by the step before".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        start(workspace, 0).await
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let first = workspace.request.first();
        let status = wait_for(workspace, first, |status| status.leader != 0).await?;
        let revision = status.header.unwrap_or_default().revision;
        let content = inspect(&workspace.snapshot()).await?;
        let wanted = content.revision + bump(&workspace.request);
        if revision < wanted {
            return Err(AgentError::refused(
                format!(
                    "{} runs with revision {revision}, it was restored to {wanted}",
                    first.name
                ),
                "It was started on another data directory. Stop it, start it on the one of the step before, and run this \
                 again.",
            ));
        }
        if workspace.request.bump_revision.is_some() {
            return Ok(format!("serving, revision {revision}"));
        }
        let hashed = workspace.client(first).await?.maintenance().hash_kv(wanted).await;
        match hashed {
            Ok(answer)
                if answer.compact_revision == content.compact_revision
                    && answer.hash != content.hash_kv =>
            {
                Err(AgentError::damaged(format!(
                    "{} computes HashKV {}, the snapshot has {}",
                    first.name, answer.hash, content.hash_kv
                )))
            }
            Ok(answer) => Ok(format!("serving, revision {revision}, HashKV {}", answer.hash)),
            Err(error) => Ok(format!("serving, revision {revision}; HashKV not compared: {error}")),
        }
    }

    async fn undo(&self, workspace: &Workspace) -> Result<String> {
        let first = workspace.request.first();
        if status(workspace, first).await.is_ok() {
            return Err(AgentError::refused(
                format!("{} still runs", first.name),
                "Stop it, then undo again.",
            ));
        }
        Ok(format!("{} is off", first.name))
    }
}

fn bump(request: &RecoverRequest) -> i64 {
    request.bump_revision.and_then(|amount| i64::try_from(amount).ok()).unwrap_or(0)
}

/// The command line that starts a member.
pub fn start_command(request: &RecoverRequest, index: usize) -> String {
    let member = &request.members[index];
    let client = member.client_url.as_deref().unwrap_or("CLIENT-URL");
    let data_dir = if index == 0 {
        request.data_dir.display().to_string()
    } else {
        "EMPTY-DATA-DIR".to_owned()
    };
    let peers = member.peer_urls.join(",");
    let state = if index == 0 {
        String::new()
    } else {
        let cluster = request.initial_cluster(index + 1);
        format!(" --initial-cluster {cluster} --initial-cluster-state existing")
    };
    format!(
        "{} --name {} --data-dir {data_dir} --listen-client-urls {client} --advertise-client-urls {client} \
         --listen-peer-urls {peers} --initial-advertise-peer-urls {peers}{state}",
        request.server_binary.display(),
        member.name
    )
}

/// Starts member `index`: by the hook, or by asking the operator.
pub async fn start(workspace: &Workspace, index: usize) -> Result<()> {
    let request = &workspace.request;
    let member = &request.members[index];
    // Started by an earlier run, or by the operator.
    if matches!(status(workspace, member).await, Ok(_) | Err(AgentError::Refused { .. })) {
        return Ok(());
    }
    let Some(hook) = &request.start_hook else {
        (workspace.say)(&format!("      start {} now:", member.name));
        if index > 0 {
            (workspace.say)("      (move its old data directory away first)");
        }
        (workspace.say)(&format!("        {}", start_command(request, index)));
        (workspace.say)("      with its other flags as they were, those of TLS above all");
        return Ok(());
    };
    let mut command = Command::new("sh");
    command
        .args(["-c", hook])
        .env("QUORATE_RECOVER_NAME", &member.name)
        .env("QUORATE_RECOVER_PEER_URLS", member.peer_urls.join(","))
        .env("QUORATE_RECOVER_CLIENT_URLS", member.client_url.as_deref().unwrap_or_default())
        .env("QUORATE_RECOVER_INITIAL_CLUSTER", request.initial_cluster(index + 1))
        .env("QUORATE_RECOVER_INITIAL_CLUSTER_STATE", if index == 0 { "new" } else { "existing" })
        .env("QUORATE_RECOVER_INITIAL_CLUSTER_TOKEN", &request.token)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if index == 0 {
        command.env("QUORATE_RECOVER_DATA_DIR", &request.data_dir);
    }
    let ended = tokio::time::timeout(HOOK_TIMEOUT, command.status()).await;
    let failed = |what: String| AgentError::Server {
        what: format!("the start hook of {} {what}", member.name),
    };
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(format!("ended with {status}"))),
        Ok(Err(error)) => Err(failed(format!("does not run: {error}"))),
        Err(_) => Err(failed(format!("was not done within {HOOK_TIMEOUT:?}"))),
    }
}

/// A member's status.
pub async fn status(workspace: &Workspace, member: &MemberTarget) -> Result<StatusResponse> {
    let status = workspace.client(member).await?.maintenance().status().await;
    status.map_err(|error| match is_auth_error(&error) {
        true => auth_refused(&member.name, &error),
        false => AgentError::Cluster { what: format!("{}: {error}", member.name) },
    })
}

/// Waits until a member's status is as wanted.
pub async fn wait_for(
    workspace: &Workspace,
    member: &MemberTarget,
    wanted: impl Fn(&StatusResponse) -> bool + Send,
) -> Result<StatusResponse> {
    let deadline = Instant::now() + workspace.patience();
    loop {
        let last = match status(workspace, member).await {
            Ok(status) if wanted(&status) => return Ok(status),
            Ok(status) => {
                let header = status.header.unwrap_or_default();
                format!(
                    "member {:x} answers with revision {} and {} applied entries",
                    header.member_id, header.revision, status.raft_applied_index
                )
            }
            // It runs, and nobody has said who we are: waiting would not help.
            Err(error @ AgentError::Refused { .. }) => return Err(error),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(AgentError::Cluster {
                what: format!(
                    "{} was not ready within {} s: {last}",
                    member.name, workspace.request.wait_seconds
                ),
            });
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}
