//! Step `confirm`: the whole cluster is there, agrees with itself, and serves linearizable reads.

use async_trait::async_trait;
use quorate_client::EtcdError;

use super::Step;
use super::start::wait_for;
use crate::error::{AgentError, Result};
use crate::loopback_server::is_auth_error;
use crate::recover::plan::PlannedStep;
use crate::recover::request::RecoverRequest;
use crate::recover::workspace::Workspace;

/// See the file's header.
pub struct Confirm;

#[async_trait]
impl Step for Confirm {
    fn describe(&self, _request: &RecoverRequest) -> PlannedStep {
        PlannedStep {
            id: "confirm".into(),
            title: "confirm that all members serve and agree".into(),
            check: "every member has the same HashKV at one revision, the list is complete".into(),
            equivalent: vec![
                "etcdctl endpoint health --cluster".into(),
                "etcdctl endpoint hashkv --cluster".into(),
                "etcdctl member list".into(),
            ],
            undo: "nothing is changed".into(),
        }
    }

    async fn act(&self, _workspace: &Workspace) -> Result<()> {
        Ok(())
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let request = &workspace.request;
        let failed = |what: String| AgentError::Cluster { what };
        // A member list confirmed by a quorum is a linearizable read.
        let list = workspace.client(request.first()).await?.cluster().member_list().await;
        let list = list.map_err(|error| failed(format!("no quorum answers: {error}")))?;
        let n_voters = list.members.iter().filter(|member| !member.is_learner).count();
        if n_voters != request.members.len() {
            return Err(failed(format!(
                "{n_voters} members vote, {} were planned",
                request.members.len()
            )));
        }
        let first = wait_for(workspace, request.first(), |status| status.leader != 0).await?;
        let revision = first.header.unwrap_or_default().revision;
        let mut hashes = Vec::new();
        for member in &request.members {
            let reached = |status: &quorate_client::proto::etcdserverpb::StatusResponse| {
                status.header.is_some_and(|header| header.revision >= revision)
            };
            wait_for(workspace, member, reached).await?;
            match workspace.client(member).await?.maintenance().hash_kv(revision).await {
                Ok(answer) => hashes.push((&member.name, answer.hash, answer.compact_revision)),
                // A raised revision is itself compacted, and up to etcd 3.5 has no hash then.
                Err(error) if error.etcd() == Some(EtcdError::Compacted) => {
                    return Ok(format!(
                        "{n_voters} members serve at revision {revision}; HashKV can be compared after the \
                         next write"
                    ));
                }
                Err(error) if is_auth_error(&error) => {
                    return Ok(format!("{n_voters} members serve; give --user to compare HashKV"));
                }
                Err(error) => return Err(failed(format!("HashKV of {}: {error}", member.name))),
            }
        }
        let (_, hash, compact) = hashes[0];
        let differs = hashes.iter().find(|(_, other, at)| *at == compact && *other != hash);
        if let Some((name, other, _)) = differs {
            return Err(AgentError::damaged(format!(
                "{name} has HashKV {other} at revision {revision}, {} has {hash}",
                request.first().name
            )));
        }
        Ok(format!("{n_voters} members, HashKV {hash} at revision {revision} on all"))
    }
}
