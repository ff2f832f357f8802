//! Step `isolate`: makes the copy of a Quorate survivor a cluster of one, in its log.
//!
//! What `--force-new-cluster` of etcd does at start is done here on the copy: a removal of every other member behind the
//! last entry that is kept, and a state that has all of it committed. The server then replays the log as any other.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use prost::Message;
use quorate_etcd_files::disk::OsDisk;
use quorate_etcd_files::wal::{EntryParts, EntryReader, Options, SEGMENT_BYTES, Writer};
use quorate_proto::raftpb::{ConfChange, ConfChangeType, EntryType, HardState};

use super::Step;
use crate::error::{AgentError, Result};
use crate::recover::inventory::read_survivor;
use crate::recover::plan::PlannedStep;
use crate::recover::request::{RecoverRequest, SourceRequest, Tail};
use crate::recover::workspace::Workspace;
use crate::take::file_error;

/// See the file's header.
pub struct Isolate;

#[async_trait]
impl Step for Isolate {
    fn describe(&self, _request: &RecoverRequest) -> PlannedStep {
        PlannedStep {
            id: "isolate".into(),
            title: "make the copy a cluster of one, in its log".into(),
            check: "one member is left and nothing stands behind the commit index".into(),
            equivalent: vec!["(what --force-new-cluster does, on the copy)".into()],
            undo: "goes with the copy".into(),
        }
    }

    async fn act(&self, workspace: &Workspace) -> Result<()> {
        let copy = read_survivor(&workspace.copy(), None).await?;
        // Also what an interrupted run has left to do: those that are removed already are not there any more.
        let others = copy.members.iter().filter(|member| member.id != copy.member_id);
        let others: Vec<_> = others.filter_map(|m| u64::from_str_radix(&m.id, 16).ok()).collect();
        let tail = match workspace.request.source {
            SourceRequest::DataDir { tail, .. } => tail,
            SourceRequest::Backup { .. } => return Ok(()),
        };
        let wal = workspace.copy().join("member").join("wal");
        let written = tokio::task::spawn_blocking(move || isolate(&wal, &others, tail));
        written.await.map_err(|_| AgentError::Cancelled)?.map_err(file_error)
    }

    async fn check(&self, workspace: &Workspace) -> Result<String> {
        let copy = read_survivor(&workspace.copy(), None).await?;
        if copy.n_tail() == 0 && copy.members.len() == 1 {
            return Ok(format!("all entries up to {} count as committed", copy.last_index));
        }
        Err(AgentError::damaged(format!(
            "the copy has {} members and {} uncommitted entries",
            copy.members.len(),
            copy.n_tail()
        )))
    }
}

fn isolate(wal: &Path, others: &[u64], tail: Tail) -> quorate_etcd_files::Result<()> {
    let options = Options { segment_bytes: SEGMENT_BYTES, prepare_ahead: false };
    let (mut writer, replay) = Writer::open(Arc::new(OsDisk), wal, options)?;
    let commit = replay.hard_state.commit();
    let last = match tail {
        Tail::Keep => replay.last_index().max(commit),
        Tail::CommittedOnly => commit,
    };
    let disk: Arc<dyn quorate_etcd_files::disk::Disk> = Arc::new(OsDisk);
    let kept = match replay.entry_ref(last) {
        Some(place) => Some(EntryReader::open(&disk, wal)?.read(place)?),
        None => None,
    };
    let term = kept.as_ref().map_or(replay.hard_state.term(), |entry| entry.term());
    for (index, id) in (last + 1..).zip(others) {
        let change = ConfChange {
            id: Some(0),
            r#type: Some(ConfChangeType::ConfChangeRemoveNode as i32),
            node_id: Some(*id),
            context: None,
        };
        // An entry of the same leader as the one before it; a later one with its index would replace it.
        writer.append(&EntryParts {
            kind: EntryType::EntryConfChange,
            term,
            index,
            data: &change.encode_to_vec(),
            leader_member_id: kept.as_ref().and_then(|entry| entry.leader_member_id),
            ..EntryParts::default()
        });
    }
    writer.append_hard_state(&HardState {
        commit: Some(last + others.len() as u64),
        ..replay.hard_state
    });
    writer.write()?;
    writer.sync()?;
    Ok(())
}
