//! Step `fence`: makes sure that nothing of the old cluster runs. Two clusters that both think they are the old one are
//! worse than none.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tokio::net::TcpStream;

use super::Step;
use crate::error::{AgentError, Result};
use crate::recover::plan::PlannedStep;
use crate::recover::request::RecoverRequest;
use crate::recover::workspace::Workspace;

/// Longest wait for one connection.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// See the file's header.
pub struct Fence;

#[async_trait]
impl Step for Fence {
    fn describe(&self, request: &RecoverRequest) -> PlannedStep {
        let title = if request.is_fenced {
            "take your word that every old member is off (--others-are-off)"
        } else {
            "make sure that every member of the old cluster is off"
        };
        PlannedStep {
            id: "fence".into(),
            title: title.into(),
            check: "no peer or client port of an old member answers".into(),
            equivalent: vec!["etcdctl endpoint health --cluster   # must fail everywhere".into()],
            undo: "nothing is changed".into(),
        }
    }

    async fn act(&self, _workspace: &Workspace) -> Result<()> {
        Ok(())
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        if workspace.request.is_fenced {
            return Ok("not probed: the operator has made sure".into());
        }
        let members = workspace.inventory.members();
        let probes = members.iter().map(|member| async move {
            let urls = member.peer_urls.iter().chain(&member.client_urls);
            let answers = join_all(urls.map(|url| answers(url))).await;
            answers.into_iter().any(|answers| answers).then_some(member)
        });
        let alive: Vec<_> = join_all(probes).await.into_iter().flatten().collect();
        if alive.is_empty() {
            return Ok(format!("none of {} members answers", members.len()));
        }
        let n_voters = members.iter().filter(|member| !member.is_learner).count();
        let n_alive = alive.iter().filter(|member| !member.is_learner).count();
        let names: Vec<_> = alive.iter().map(|member| member.name.as_str()).collect();
        let hint = if n_alive * 2 > n_voters {
            "A majority answers: the cluster is not lost. Repair the failed members instead: remove each, \
             then add it again as a learner."
        } else {
            "Stop them, or wait: if enough members come back there is nothing to recover. Where the ports are \
             somebody else's, say --others-are-off."
        };
        Err(AgentError::refused(format!("members answer: {}", names.join(", ")), hint))
    }
}

/// True when something listens behind a URL.
async fn answers(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if scheme.starts_with("unix") {
        return false;
    }
    let address = rest.split('/').next().unwrap_or(rest);
    let connected = tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await;
    matches!(connected, Ok(Ok(_)))
}
