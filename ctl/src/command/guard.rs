//! `--dry-run` and `--guarded`: the plan of a change to the cluster, shown, or made only if nothing speaks against it.
//! The rules are `quorate_client::plan`'s; without these flags a command does what etcdctl does, unguarded.

use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::Answer;
use quorate_client::model::{ClusterSnapshot, Collector, StrangerState};
use quorate_client::plan::{ConfirmedPlan, Plan, PlanError};

/// The two flags.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Guard {
    /// Show what would be checked and done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Make the change only if every check of the plan holds
    #[arg(long)]
    guarded: bool,
}

impl Guard {
    /// Looks at the cluster and decides: `None` where the plan was only to be shown.
    ///
    /// # Errors
    /// The cluster cannot be looked at, or a check forbids the change.
    pub async fn confirm(
        self,
        session: &Session,
        plan: impl FnOnce(&ClusterSnapshot) -> Plan,
    ) -> Outcome<Option<ConfirmedPlan>> {
        let limit = session.flags.command_timeout();
        let cluster = Collector::look(session.client.config().clone(), limit).await;
        if cluster.members.is_empty() {
            return Err(unseen(&cluster));
        }
        let plan = plan(&cluster);
        if self.dry_run {
            show(&plan, session)?;
            return match plan.is_blocked() {
                true => Err(Failure::new(exit::ERROR, "the plan is blocked")),
                false => Ok(None),
            };
        }
        plan.confirm().map(Some).map_err(failure)
    }

    /// Whether one of the flags was given.
    pub fn is_wanted(self) -> bool {
        self.dry_run || self.guarded
    }
}

/// Of a cluster of which no member answers nothing can be said, and nothing planned.
fn unseen(cluster: &ClusterSnapshot) -> Failure {
    let reasons = cluster.strangers.iter().filter_map(|stranger| match &stranger.state {
        StrangerState::Silent { reason } | StrangerState::Refused { reason } => {
            Some(format!("{}: {reason}", stranger.endpoint))
        }
        // These answer, and so tell who the members are.
        StrangerState::OtherCluster { .. } | StrangerState::NotListed { .. } => None,
    });
    let reasons: Vec<String> = reasons.collect();
    let text = format!(
        "no member tells who the members are, so nothing is planned ({}). Look at --endpoints and --user, and whether the \
         members run.",
        reasons.join("; ")
    );
    Failure::new(exit::ERROR, text)
}

/// Why a plan was not made or not ended.
pub fn failure(error: PlanError) -> Failure {
    Failure::new(exit::ERROR, error.to_string())
}

fn show(plan: &Plan, session: &Session) -> Outcome {
    let mut lines = vec![format!("Plan: {}", plan.title), String::new(), "Checks".to_owned()];
    for check in &plan.checks {
        lines.push(format!("  {:<8} {}: {}", check.verdict.word(), check.wanted, check.found));
    }
    lines.push("Steps".to_owned());
    for (at, step) in plan.steps.iter().enumerate() {
        lines.push(format!("  {}. {}", at + 1, step.what));
        lines.push(format!("     {}", step.command));
    }
    lines.push("Effects".to_owned());
    lines.extend(plan.effects.iter().map(|effect| format!("  {effect}")));
    lines.push(format!("Undo\n  {}", plan.undo));
    lines.push("Nothing was changed.".to_owned());
    let whole = serde_json::to_value(plan).unwrap_or_default();
    let field = |name: &'static str| (name, whole[name].clone());
    let mut fields: Vec<_> = ["title", "checks", "steps", "effects", "undo"].map(field).to_vec();
    fields.insert(1, ("blocked", plan.is_blocked().into()));
    session.printer.print(&Answer::Plain { lines, fields })
}
