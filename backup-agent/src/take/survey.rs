//! Looks at the cluster before a backup: every member's own status, the member list, the alarms. It judges nothing.
//!
//! A member that does not answer is listed as such and never holds the others up. Works without a quorum: the member
//! list is read as the asked member knows it.

use std::time::Duration;

use futures::future::join_all;
use quorate_client::Client;
use quorate_client::proto::etcdserverpb as pb;

use crate::error::{AgentError, Result};
use crate::manifest::MemberFacts;

/// Longest wait for one member's status.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(4);

/// What one endpoint said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// Endpoint asked.
    pub endpoint: String,
    /// Cluster it belongs to.
    pub cluster_id: u64,
    /// Its id.
    pub member_id: u64,
    /// True when it names itself leader.
    pub is_leader: bool,
    /// True when it knows a leader.
    pub has_leader: bool,
    /// True when it does not vote.
    pub is_learner: bool,
    /// True when a CORRUPT alarm names it.
    pub is_corrupt: bool,
    /// Newest revision it has applied.
    pub revision: i64,
    /// Applied index.
    pub applied_index: u64,
    /// Database size in bytes.
    pub size_bytes: u64,
    /// Server version.
    pub version: String,
    /// Storage version, empty before 3.6.
    pub storage_version: String,
}

/// The cluster as it was found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Members that answered, each once, in the order of the endpoints.
    pub states: Vec<MemberState>,
    /// Endpoints that did not answer, with the reason.
    pub silent: Vec<(String, String)>,
    /// All members, as one of them knows the list.
    pub members: Vec<MemberFacts>,
    /// Alarms, as `NOSPACE member 8e9e05c52164694d`.
    pub alarms: Vec<String>,
}

impl Survey {
    /// Asks every configured endpoint, then the client URLs of members no endpoint led to.
    ///
    /// # Errors
    /// No endpoint answered, or they belong to different clusters.
    pub async fn make(client: &Client) -> Result<Self> {
        let mut survey = Self::default();
        survey.ask_all(client, client.endpoints()).await;
        let Some(first) = survey.states.first() else {
            let reasons: Vec<_> =
                survey.silent.iter().map(|(endpoint, why)| format!("{endpoint}: {why}")).collect();
            return Err(AgentError::Cluster {
                what: format!("no endpoint answered ({})", reasons.join("; ")),
            });
        };
        let cluster_id = first.cluster_id;
        survey.read_members(client).await;
        let known: Vec<_> = survey.states.iter().map(|state| state.member_id).collect();
        let is_known =
            |member: &&MemberFacts| known.iter().any(|id| format!("{id:x}") == member.id);
        let others: Vec<_> = survey
            .members
            .iter()
            .filter(|member| !is_known(member))
            .filter_map(|member| member.client_urls.first().cloned())
            .collect();
        survey.ask_all(client, others).await;
        if let Some(foreign) = survey.states.iter().find(|state| state.cluster_id != cluster_id) {
            return Err(AgentError::refused(
                format!(
                    "endpoints belong to different clusters: {} to {cluster_id:x}, {} to {:x}",
                    survey.states[0].endpoint, foreign.endpoint, foreign.cluster_id
                ),
                "Give the endpoints of one cluster only.",
            ));
        }
        survey.read_alarms(client).await;
        Ok(survey)
    }

    async fn ask_all(&mut self, client: &Client, endpoints: Vec<String>) {
        let asked = endpoints.into_iter().map(|endpoint| async move {
            let status = ask(client, &endpoint).await;
            (endpoint, status)
        });
        for (endpoint, status) in join_all(asked).await {
            match status {
                Ok(state) if self.states.iter().any(|s| s.member_id == state.member_id) => {}
                Ok(state) => self.states.push(state),
                Err(reason) => self.silent.push((endpoint, reason)),
            }
        }
    }

    async fn read_members(&mut self, client: &Client) {
        for state in &self.states {
            let Ok(at) = client.at(&state.endpoint) else { continue };
            match at.with_timeout(Some(STATUS_TIMEOUT)).cluster().member_list_local().await {
                Ok(list) => {
                    self.members = list.members.into_iter().map(member_facts).collect();
                    return;
                }
                Err(error) => {
                    tracing::debug!(endpoint = %state.endpoint, %error, "member list not read");
                }
            }
        }
    }

    /// Alarms need a quorum; without one there are none to show.
    async fn read_alarms(&mut self, client: &Client) {
        let listed = client.with_timeout(Some(STATUS_TIMEOUT)).maintenance().alarm_list().await;
        let alarms = match listed {
            Ok(answer) => answer.alarms,
            Err(error) => {
                tracing::warn!(%error, "alarms not read");
                return;
            }
        };
        for alarm in alarms {
            let kind = pb::AlarmType::try_from(alarm.alarm).unwrap_or(pb::AlarmType::None);
            for state in &mut self.states {
                if state.member_id == alarm.member_id && kind == pb::AlarmType::Corrupt {
                    state.is_corrupt = true;
                }
            }
            self.alarms.push(format!("{} member {:x}", kind.as_str_name(), alarm.member_id));
        }
    }

    /// The member with this id, as the member list names it.
    pub fn member(&self, id: u64) -> Option<&MemberFacts> {
        let id = format!("{id:x}");
        self.members.iter().find(|member| member.id == id)
    }
}

async fn ask(client: &Client, endpoint: &str) -> Result<MemberState, String> {
    let at = client.at(endpoint).map_err(|error| error.to_string())?;
    let status = at
        .with_timeout(Some(STATUS_TIMEOUT))
        .maintenance()
        .status()
        .await
        .map_err(|error| error.to_string())?;
    let header = status.header.unwrap_or_default();
    Ok(MemberState {
        endpoint: endpoint.to_owned(),
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        is_leader: status.leader == header.member_id && status.leader != 0,
        has_leader: status.leader != 0,
        is_learner: status.is_learner,
        is_corrupt: false,
        revision: header.revision,
        applied_index: status.raft_applied_index,
        size_bytes: u64::try_from(status.db_size).unwrap_or(0),
        version: status.version,
        storage_version: status.storage_version,
    })
}

fn member_facts(member: pb::Member) -> MemberFacts {
    MemberFacts {
        id: format!("{:x}", member.id),
        name: member.name,
        peer_urls: member.peer_ur_ls,
        client_urls: member.client_ur_ls,
        is_learner: member.is_learner,
    }
}
