//! Runs a confirmed plan: one step after the other, each after a look whether the cluster still stands.

use super::{Action, Plan, Step};
use crate::{Client, ClientError};
use quorate_proto::etcdserverpb as pb;

/// Why a plan was not made, or not ended.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A check forbids it.
    #[error("{reason}. Nothing was changed.")]
    Blocked {
        /// What was found.
        reason: String,
    },
    /// The cluster did not answer a read before a step, so the step was not made.
    #[error("stopped before step {number} ({what}): the cluster no longer serves reads: {cause}")]
    Unwell {
        /// Which step, from 1.
        number: usize,
        /// What it was to do.
        what: String,
        /// The read's error.
        cause: Box<ClientError>,
    },
    /// A step failed; those after it were not made.
    #[error("step {number} ({what}) failed: {cause}. The steps after it were not made.")]
    Failed {
        /// Which step, from 1.
        number: usize,
        /// What it was to do.
        what: String,
        /// The answer.
        cause: Box<ClientError>,
    },
}

impl PlanError {
    /// Whether the cluster is as it was.
    pub fn changed_nothing(&self) -> bool {
        match self {
            PlanError::Blocked { .. } => true,
            PlanError::Unwell { number, .. } | PlanError::Failed { number, .. } => *number == 1,
        }
    }
}

/// A plan that may be run. Made by [`Plan::confirm`] only.
#[derive(Debug)]
pub struct ConfirmedPlan {
    plan: Plan,
}

impl ConfirmedPlan {
    pub(super) fn new(plan: Plan) -> ConfirmedPlan {
        ConfirmedPlan { plan }
    }

    /// Makes the steps; `done` hears of each that succeeded, with the answer. Dropping the future stops after the step in flight, whose
    /// outcome is then not known.
    ///
    /// # Errors
    /// The first step that failed, or the first before which the cluster served no read.
    pub async fn run(
        self,
        client: &Client,
        mut done: impl FnMut(&Step, Made),
    ) -> Result<(), PlanError> {
        for (at, step) in self.plan.steps.iter().enumerate() {
            let (number, what) = (at + 1, step.what.clone());
            // Linearizable, so it needs the majority that the step may be about to weaken.
            if let Err(cause) = client.kv().get("health").await
                && cause.etcd() != Some(crate::EtcdError::PermissionDenied)
            {
                return Err(PlanError::Unwell { number, what, cause: Box::new(cause) });
            }
            match make(&step.action, client).await {
                Ok(made) => done(step, made),
                Err(cause) => {
                    return Err(PlanError::Failed { number, what, cause: Box::new(cause) });
                }
            }
        }
        Ok(())
    }
}

/// The answer to a step.
#[derive(Debug)]
pub enum Made {
    /// A member was defragmented.
    Defragmented(pb::DefragmentResponse),
    /// Another member leads.
    LeaderMoved(pb::MoveLeaderResponse),
    /// A member was added.
    Added(pb::MemberAddResponse),
    /// A member was removed.
    Removed(pb::MemberRemoveResponse),
    /// A learner votes.
    Promoted(pb::MemberPromoteResponse),
}

async fn make(action: &Action, client: &Client) -> Result<Made, ClientError> {
    let cluster = client.cluster();
    Ok(match action {
        Action::Defragment { endpoint } => {
            // As long as it takes: the member answers when it is done.
            let member = client.at(endpoint)?.with_timeout(None);
            Made::Defragmented(member.maintenance().defragment().await?)
        }
        Action::MoveLeader { endpoint, to } => {
            Made::LeaderMoved(client.at(endpoint)?.maintenance().move_leader(to.0).await?)
        }
        Action::AddMember { peer_urls, is_learner: false } => {
            Made::Added(cluster.member_add(peer_urls.clone()).await?)
        }
        Action::AddMember { peer_urls, is_learner: true } => {
            Made::Added(cluster.member_add_learner(peer_urls.clone()).await?)
        }
        Action::RemoveMember { id } => Made::Removed(cluster.member_remove(id.0).await?),
        Action::PromoteMember { id } => Made::Promoted(cluster.member_promote(id.0).await?),
    })
}
