//! Step `join-NAME`: one more member, as a learner first, then as a voter. One at a time, so that quorum never hangs on
//! a member that has nothing yet. What changes the cluster are the guarded plans of `quorate_client::plan`, those that
//! `quoratectl --guarded` makes.

use std::fmt::Display;
use std::time::Duration;

use async_trait::async_trait;
use quorate_client::model::{ClusterSnapshot, Collector, MemberId};
use quorate_client::plan::{self, Made, Plan, PlanError};
use quorate_client::proto::etcdserverpb::Member;
use quorate_client::{Client, EtcdError};
use tokio::time::Instant;

use super::Step;
use super::start::{start, start_command, wait_for};
use crate::error::{AgentError, Result};
use crate::recover::plan::PlannedStep;
use crate::recover::request::{MemberTarget, RecoverRequest};
use crate::recover::workspace::Workspace;

const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// How long a look at the cluster may take; a member that does not answer by then counts as down for now.
const LOOK_MAX: Duration = Duration::from_secs(3);

/// See the file's header.
pub struct Join {
    /// Which member, counted from 0; never the first.
    pub index: usize,
}

#[async_trait]
impl Step for Join {
    fn describe(&self, request: &RecoverRequest) -> PlannedStep {
        let member = &request.members[self.index];
        let endpoint = request.first().client_url.clone().unwrap_or_default();
        let peers = member.peer_urls.join(",");
        PlannedStep {
            id: format!("join-{}", member.name),
            title: format!("add {} as a learner, start it empty, promote it", member.name),
            check: "it is a voter and has applied what the leader has".into(),
            equivalent: vec![
                format!(
                    "etcdctl --endpoints {endpoint} member add {} --learner --peer-urls {peers}",
                    member.name
                ),
                start_command(request, self.index),
                format!("etcdctl --endpoints {endpoint} member promote ID"),
            ],
            undo: "the member is removed from the cluster".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let member = &workspace.request.members[self.index];
        let client = workspace.client(workspace.request.first()).await?;
        let id = match find(&client, member).await? {
            Some(there) => there.id,
            None => self.add(workspace, &client, member).await?,
        };
        start(workspace, self.index).await?;
        wait_for(workspace, member, |status| {
            status.header.is_some_and(|header| header.member_id == id) && status.leader != 0
        })
        .await?;
        self.promote(workspace, &client, member, id).await
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let member = &workspace.request.members[self.index];
        let client = workspace.client(workspace.request.first()).await?;
        let there = find(&client, member).await?;
        let Some(voter) = there.filter(|there| !there.is_learner) else {
            return Err(AgentError::Cluster { what: format!("{} is not a voter", member.name) });
        };
        let leader =
            workspace.client(workspace.request.first()).await?.maintenance().status().await;
        let leader = leader.map_err(|error| AgentError::Cluster { what: error.to_string() })?;
        let (applied, revision) =
            (leader.raft_applied_index, leader.header.unwrap_or_default().revision);
        // The revision too: a member that got the log but not the restored state would have applied all of it.
        wait_for(workspace, member, |status| {
            status.raft_applied_index >= applied
                && status.header.is_some_and(|header| header.revision >= revision)
        })
        .await?;
        Ok(format!("member {:x} votes and has applied {applied} entries", voter.id))
    }

    async fn undo(&self, workspace: &Workspace) -> Result<String> {
        let member = &workspace.request.members[self.index];
        let client = workspace.client(workspace.request.first()).await?;
        let Some(there) = find(&client, member).await? else {
            return Ok(format!("{} is no member", member.name));
        };
        let removed = client.cluster().member_remove(there.id).await;
        removed.map_err(|error| cluster_error(member, "not removed", &error))?;
        Ok(format!("member {:x} is removed; stop its process", there.id))
    }
}

impl Join {
    /// Adds the learner. Right after a member has joined the cluster refuses until it is healthy for a while.
    async fn add(
        &self,
        workspace: &Workspace,
        client: &Client,
        member: &MemberTarget,
    ) -> Result<u64> {
        let deadline = Instant::now() + workspace.patience();
        loop {
            let urls = member.peer_urls.clone();
            let plan = |cluster: &ClusterSnapshot| plan::member_add(cluster, urls, true);
            match self.change(workspace, client, self.index, plan).await {
                Ok(Some(Made::Added(answer))) => return Ok(answer.member.unwrap_or_default().id),
                Ok(_) => {}
                Err(error) if may_pass(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(cluster_error(member, "not added", &error)),
            }
            // Where the outcome is unknown it may have been added: look before asking again.
            if let Some(there) = find(client, member).await? {
                return Ok(there.id);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn promote(
        &self,
        workspace: &Workspace,
        client: &Client,
        member: &MemberTarget,
        id: u64,
    ) -> Result<()> {
        let deadline = Instant::now() + workspace.patience();
        loop {
            if find(client, member).await?.is_some_and(|there| !there.is_learner) {
                return Ok(());
            }
            let plan = |cluster: &ClusterSnapshot| plan::member_promote(cluster, MemberId(id));
            match self.change(workspace, client, self.index + 1, plan).await {
                Ok(_) => return Ok(()),
                Err(error) if may_pass(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(cluster_error(member, "not promoted", &error)),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Looks at the cluster, of which the first `started` members have been started, and makes the plan if no check
    /// forbids it.
    async fn change(
        &self,
        workspace: &Workspace,
        client: &Client,
        started: usize,
        plan: impl FnOnce(&ClusterSnapshot) -> Plan,
    ) -> Result<Option<Made>, PlanError> {
        let mut config = client.config().clone();
        // What members advertise need not be what can be reached from here.
        let known = workspace.request.members[..started].iter();
        config.endpoints = known.filter_map(|member| member.client_url.clone()).collect();
        let cluster = Collector::look(config, LOOK_MAX).await;
        let mut made = None;
        plan(&cluster).confirm()?.run(client, |_, answer| made = Some(answer)).await?;
        Ok(made)
    }
}

/// True for refusals that pass by themselves (a check of the plan does not hold yet, the learner is still catching up, a member
/// has just been started), and where the outcome is unknown and has to be looked up.
fn may_pass(error: &PlanError) -> bool {
    let cause = match error {
        PlanError::Blocked { .. } | PlanError::Unwell { .. } => return true,
        PlanError::Failed { cause, .. } => cause,
    };
    matches!(
        cause.etcd(),
        Some(
            EtcdError::LearnerNotReady
                | EtcdError::UnhealthyCluster
                | EtcdError::MemberNotEnoughStarted
                | EtcdError::TooManyLearners
        )
    ) || cause.is_retryable()
        || cause.is_outcome_unknown()
}

async fn find(client: &Client, member: &MemberTarget) -> Result<Option<Member>> {
    let list = client.cluster().member_list().await;
    let list = list.map_err(|error| cluster_error(member, "not looked up", &error))?;
    let has_urls =
        |there: &Member| there.peer_ur_ls.iter().any(|url| member.peer_urls.contains(url));
    Ok(list.members.into_iter().find(has_urls))
}

fn cluster_error(member: &MemberTarget, what: &str, error: &impl Display) -> AgentError {
    AgentError::Cluster { what: format!("{} {what}: {error}", member.name) }
}
