//! The steps of a recovery, a file per kind, and which of them a request needs.

mod backup;
mod confirm;
mod copy;
mod fence;
mod fetch;
mod join;
mod replay;
mod restore;
mod start;
mod tail;

use async_trait::async_trait;

use super::plan::PlannedStep;
use super::request::{RecoverRequest, SourceRequest, Tail};
use super::workspace::Workspace;
use crate::error::Result;

/// One step: an act, the check that it took effect, and the way back. An act may be repeated after a crash.
#[async_trait]
pub trait Step: Send + Sync {
    /// How it is shown, and its id.
    fn describe(&self, request: &RecoverRequest) -> PlannedStep;
    /// Does it.
    async fn act(&self, workspace: &Workspace) -> Result<()>;
    /// Checks that it took effect; says what was found.
    async fn check(&self, workspace: &Workspace) -> Result<String>;
    /// Takes it back; says what was done. Steps that change nothing have nothing to take back.
    async fn undo(&self, _workspace: &Workspace) -> Result<String> {
        Ok("nothing to take back".to_owned())
    }
}

/// The steps a request needs, in order.
pub fn build(request: &RecoverRequest, has_store: bool) -> Vec<Box<dyn Step>> {
    let mut steps: Vec<Box<dyn Step>> = vec![Box::new(fence::Fence)];
    match &request.source {
        SourceRequest::DataDir { tail, .. } => {
            steps.push(Box::new(copy::CopyDataDir));
            if *tail == Tail::Keep {
                steps.push(Box::new(tail::KeepTail));
            }
            steps.push(Box::new(replay::Replay));
            if has_store {
                steps.push(Box::new(backup::KeepRescued));
            }
        }
        SourceRequest::Backup { .. } => steps.push(Box::new(fetch::FetchBackup)),
    }
    steps.push(Box::new(restore::RestoreFirst));
    if request.is_online() {
        steps.push(Box::new(start::StartFirst));
        for index in 1..request.members.len() {
            steps.push(Box::new(join::Join { index }));
        }
        steps.push(Box::new(confirm::Confirm));
        if has_store {
            steps.push(Box::new(backup::FreshBackup));
        }
    }
    steps
}
