//! What a step is, and which steps a request needs, in which order. What a step does is in its own file.

use async_trait::async_trait;

use super::{backup, confirm, copy, fence, fetch, isolate, join, replay, restore, start, tail};
use crate::error::Result;
use crate::recover::inventory::ServerKind;
use crate::recover::plan::PlannedStep;
use crate::recover::request::{RecoverRequest, SourceRequest, Tail};
use crate::recover::workspace::Workspace;

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
        SourceRequest::DataDir { tail, server, .. } => {
            steps.push(Box::new(copy::CopyDataDir));
            match (server, tail) {
                (ServerKind::Quorate, _) => steps.push(Box::new(isolate::Isolate)),
                (ServerKind::Etcd, Tail::Keep) => steps.push(Box::new(tail::KeepTail)),
                (ServerKind::Etcd, Tail::CommittedOnly) => {}
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
