//! `prune`: shows what retention would delete, and deletes it.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::flags::{Output, RetentionFlags, StoreFlags};
use super::print;
use super::question::{confirm, is_interactive};
use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::policy::Decision;
use crate::prune::{PrunePlan, Pruned, execute, plan_prune};

/// Flags of `prune`.
#[derive(Args, Debug)]
pub struct PruneCommand {
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    retention: RetentionFlags,
    /// Only show the plan, with the reason of every decision
    #[arg(long)]
    dry_run: bool,
    /// Do not ask. Where there is no terminal nobody is asked
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Outcome<'a> {
    dry_run: bool,
    plan: &'a PrunePlan,
    done: Option<Pruned>,
}

impl PruneCommand {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<()> {
        let store = self.store.open().await?;
        let catalogue = Catalogue::read(store.as_ref()).await?;
        let plan = plan_prune(&catalogue, &self.retention.policy(), Timestamp::now())?;
        if output == Output::Table {
            print_plan(&plan);
        }
        let done = if self.dry_run {
            None
        } else {
            self.confirm(&plan)?;
            Some(execute(&plan, &catalogue, store.as_ref()).await?)
        };
        match (output, done) {
            (Output::Json, done) => {
                print::json(&Outcome { dry_run: self.dry_run, plan: &plan, done });
            }
            (Output::Table, Some(done)) => println!(
                "{} backups deleted, {} left-overs removed",
                done.n_backups, done.n_abandoned
            ),
            (Output::Table, None) => println!("dry run: nothing was deleted"),
        }
        Ok(())
    }

    /// Whoever sits at a terminal sees the plan before it is done.
    fn confirm(&self, plan: &PrunePlan) -> Result<()> {
        let n_backups = plan.decisions.iter().filter(|decision| !decision.keep).count();
        if self.yes || !is_interactive() || n_backups == 0 {
            return Ok(());
        }
        confirm(&format!("This deletes {n_backups} backups for good."), "delete")
    }
}

fn print_plan(plan: &PrunePlan) {
    let row = |decision: &Decision| {
        let reasons: Vec<_> = decision.reasons.iter().map(ToString::to_string).collect();
        [
            if decision.keep { "keep" } else { "delete" }.to_owned(),
            decision.id.clone(),
            print::time(decision.taken_at),
            reasons.join(", "),
        ]
    };
    let rows: Vec<_> = plan.decisions.iter().map(row).collect();
    print::table(["", "ID", "TAKEN", "BECAUSE"], &rows);
    for name in &plan.abandoned {
        println!("delete  {name}: an interrupted run left it");
    }
}
