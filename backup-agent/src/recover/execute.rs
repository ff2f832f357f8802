//! Runs a recovery step by step: begun → act → check → checked, each noted in the journal before the next act.
//!
//! A step that was checked in an earlier run is not done again. One that was only begun is: every act first takes
//! back what an interrupted one may have left.

use super::journal::{Journal, Progress};
use super::steps::{Step, build};
use super::workspace::Workspace;
use crate::error::Result;

/// Does everything that is not done yet. Says what each step's check found.
pub async fn execute(workspace: &Workspace, journal: &mut Journal) -> Result<Vec<String>> {
    let steps = build(&workspace.request, workspace.store.is_some());
    let n_steps = steps.len();
    let mut evidence = Vec::with_capacity(n_steps);
    for (number, step) in (1..).zip(&steps) {
        let planned = step.describe(&workspace.request);
        if journal.progress(&planned.id) == Some(Progress::Checked) {
            (workspace.say)(&format!("[{number}/{n_steps}] {}: done before", planned.title));
            continue;
        }
        (workspace.say)(&format!("[{number}/{n_steps}] {}", planned.title));
        journal.note(&planned.id, Progress::Begun, "")?;
        match run(step.as_ref(), workspace).await {
            Ok(found) => {
                journal.note(&planned.id, Progress::Checked, &found)?;
                (workspace.say)(&format!("      checked: {found}"));
                evidence.push(format!("{}: {found}", planned.id));
            }
            Err(error) => {
                journal.note(&planned.id, Progress::Failed, &error.to_string())?;
                return Err(error);
            }
        }
    }
    Ok(evidence)
}

async fn run(step: &dyn Step, workspace: &Workspace) -> Result<String> {
    step.act(workspace).await?;
    step.check(workspace).await
}

/// Takes back what was done, last step first.
pub async fn undo(workspace: &Workspace, journal: &mut Journal) -> Result<()> {
    let steps = build(&workspace.request, workspace.store.is_some());
    for step in steps.iter().rev() {
        let planned = step.describe(&workspace.request);
        let progress = journal.progress(&planned.id);
        if matches!(progress, None | Some(Progress::Undone)) {
            continue;
        }
        let done = step.undo(workspace).await?;
        journal.note(&planned.id, Progress::Undone, &done)?;
        (workspace.say)(&format!("undone {}: {done}", planned.id));
    }
    Ok(())
}
