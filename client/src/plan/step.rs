//! What a plan is made of. No rules and no network.

use serde::Serialize;

use super::{ConfirmedPlan, PlanError};
use crate::model::MemberId;

/// A change to a cluster, described and not yet made. The JSON field names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What it is for, for example `defragment 3 members`.
    pub title: String,
    /// What was looked at, in the order of importance.
    pub checks: Vec<Check>,
    /// What will be done, in order; the first step that fails is the last.
    pub steps: Vec<Step>,
    /// What it means for quorum and clients, a sentence each.
    pub effects: Vec<String>,
    /// How to go back, a sentence.
    pub undo: String,
}

impl Plan {
    /// Whether a check forbids it.
    pub fn is_blocked(&self) -> bool {
        self.checks.iter().any(|check| check.verdict == Verdict::Blocks)
    }

    /// Takes the operator's word that it is to be done.
    ///
    /// # Errors
    /// A check forbids it.
    pub fn confirm(self) -> Result<ConfirmedPlan, PlanError> {
        let blocking = self.checks.iter().find(|check| check.verdict == Verdict::Blocks);
        match blocking {
            Some(check) => Err(PlanError::Blocked { reason: check.found.clone() }),
            None => Ok(ConfirmedPlan::new(self)),
        }
    }
}

/// One precondition and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What has to be, a lower-case fragment.
    pub wanted: String,
    /// What is, a lower-case fragment.
    pub found: String,
    /// What follows.
    pub verdict: Verdict,
}

impl Check {
    /// A check that holds, or else has `otherwise` as its verdict.
    pub(super) fn new(
        wanted: impl Into<String>,
        found: impl Into<String>,
        holds: bool,
        otherwise: Verdict,
    ) -> Check {
        let verdict = if holds { Verdict::Holds } else { otherwise };
        Check { wanted: wanted.into(), found: found.into(), verdict }
    }
}

/// What follows from a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it has to be.
    Holds,
    /// The operator should think twice.
    Warns,
    /// It must not be done.
    Blocks,
}

impl Verdict {
    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Holds => "ok",
            Verdict::Warns => "warning",
            Verdict::Blocks => "BLOCKED",
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What, a lower-case fragment.
    pub what: String,
    /// The `etcdctl` line that does the same.
    pub command: String,
    /// The call.
    #[serde(flatten)]
    pub action: Action,
}

/// A call that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Maintenance.Defragment at one member.
    Defragment {
        /// Where.
        endpoint: String,
    },
    /// Maintenance.MoveLeader at the leader.
    MoveLeader {
        /// Where the leader answers.
        endpoint: String,
        /// Who is to lead.
        to: MemberId,
    },
    /// Cluster.MemberAdd.
    AddMember {
        /// The new member's peer URLs.
        peer_urls: Vec<String>,
        /// Without a vote.
        is_learner: bool,
    },
    /// Cluster.MemberRemove.
    RemoveMember {
        /// Whom.
        id: MemberId,
    },
    /// Cluster.MemberPromote.
    PromoteMember {
        /// Whom.
        id: MemberId,
    },
}
