//! Step `keep-tail`: marks every entry in the copy's log as committed, so that the replay applies the tail too.
//!
//! With one survivor of three, the last entries may have been acknowledged by the dead leader although this member
//! does not know it. One state record at the end of the copied log keeps them (`reference/file-formats.md`, section 11).

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use quorate_etcd_files::disk::OsDisk;
use quorate_etcd_files::wal::{Options, SEGMENT_BYTES, Writer};
use quorate_proto::raftpb::HardState;

use super::Step;
use crate::error::{AgentError, Result};
use crate::recover::inventory::read_survivor;
use crate::recover::plan::PlannedStep;
use crate::recover::request::RecoverRequest;
use crate::recover::workspace::Workspace;
use crate::take::file_error;

/// See the file's header.
pub struct KeepTail;

#[async_trait]
impl Step for KeepTail {
    fn describe(&self, _request: &RecoverRequest) -> PlannedStep {
        PlannedStep {
            id: "keep-tail".into(),
            title:
                "mark the whole log of the copy as committed, so that no acknowledged write is lost"
                    .into(),
            check: "no entry stands behind the commit index".into(),
            equivalent: vec![
                "(no command of etcd does this; --tail committed-only leaves it out)".into(),
            ],
            undo: "goes with the copy".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let wal = workspace.copy().join("member").join("wal");
        let written = tokio::task::spawn_blocking(move || commit_all(&wal));
        written.await.map_err(|_| AgentError::Cancelled)?.map_err(file_error)
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let copy = read_survivor(&workspace.copy(), None).await?;
        if copy.n_tail() == 0 {
            return Ok(format!("all entries up to {} count as committed", copy.last_index));
        }
        Err(AgentError::damaged(format!("{} entries are still uncommitted", copy.n_tail())))
    }
}

fn commit_all(wal: &Path) -> quorate_etcd_files::Result<()> {
    let options = Options { segment_bytes: SEGMENT_BYTES, prepare_ahead: false };
    let (mut writer, replay) = Writer::open(Arc::new(OsDisk), wal, options)?;
    let last = replay.last_index();
    if replay.hard_state.commit() < last {
        let term = replay.entry_ref(last).map_or(0, |entry| entry.term);
        writer.append_hard_state(&HardState {
            term: Some(term.max(replay.hard_state.term())),
            commit: Some(last),
            ..replay.hard_state
        });
    }
    writer.write()?;
    writer.sync()?;
    Ok(())
}
