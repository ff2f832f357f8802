//! `--force-new-cluster`: the log is continued by entries that remove everybody else, so that this member is the
//! cluster. Ids stay as they are.
//!
//! Unlike etcd, nothing at the log's end is dropped: with one survivor, an entry that the dead leader acknowledged may
//! be exactly there (`reference/file-formats.md`, section 11).

use super::error::{Context as _, Result};
use crate::cluster::{ClusterState, ConfChangeContext, Member};
use prost::Message;
use quorate_etcd_files::disk::OsDisk;
use quorate_etcd_files::wal::{EntryParts, Options, Replay, Writer};
use quorate_proto::raftpb::{ConfChange, ConfChangeType, EntryType, HardState};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Continues the log in `wal_dir`. `cluster` is the membership as the state has it; `peer_urls` are this member's.
///
/// # Errors
/// The log is damaged or cannot be written.
pub(super) fn remove_others(
    wal_dir: &Path,
    cluster: &ClusterState,
    peer_urls: &[impl ToString],
) -> Result<()> {
    let options = Options { prepare_ahead: false, ..Options::default() };
    let (mut log, replay) =
        Writer::open(Arc::new(OsDisk), wal_dir, options).context("failed to open the log")?;
    let reader = log.entry_reader();
    let (mut ids, mut last_leader) = (BTreeSet::new(), 0);
    for place in &replay.entries {
        let entry = reader.read(place).context("failed to read the log")?;
        last_leader = entry.leader_member_id();
        if entry.r#type() == EntryType::EntryConfChange {
            ids.insert(
                ConfChange::decode(entry.data()).context("failed to read the log")?.node_id(),
            );
        }
    }
    ids.extend(cluster.members().iter().map(|member| member.id));
    let peer_urls: Vec<String> = peer_urls.iter().map(ToString::to_string).collect();
    let changes = changes(cluster, ids, &peer_urls)?;
    let (first, last) = (replay.last_index() + 1, replay.last_index() + changes.len() as u64);
    let term = last_term(&replay);
    for (index, change) in (first..).zip(&changes) {
        log.append(&EntryParts {
            kind: EntryType::EntryConfChange,
            term,
            index,
            data: &change.encode_to_vec(),
            leader_member_id: (last_leader != 0).then_some(last_leader),
            membership: None,
        });
    }
    let dropped_nothing = replay.last_index().saturating_sub(replay.hard_state.commit());
    tracing::warn!(
        uncommitted_entries_kept = dropped_nothing,
        changes = changes.len(),
        "forcing restart member as a cluster of its own"
    );
    log.append_hard_state(&HardState { term: Some(term), commit: Some(last), ..replay.hard_state });
    log.write().context("failed to write the log")?;
    log.sync().context("failed to sync the log")?;
    Ok(())
}

fn last_term(replay: &Replay) -> u64 {
    replay.entries.last().map_or(0, |entry| entry.term).max(replay.hard_state.term())
}

/// Removes everybody else, and makes this member a voter where it is none.
fn changes(
    cluster: &ClusterState,
    ids: BTreeSet<u64>,
    peer_urls: &[String],
) -> Result<Vec<ConfChange>> {
    let own = cluster.local_id();
    let mut changes = Vec::new();
    let known = cluster.member(own);
    if known.as_ref().is_none_or(|member| member.is_learner) {
        let urls = known.map_or_else(|| peer_urls.to_vec(), |member| member.peer_urls.clone());
        let member = Member { id: own, peer_urls: urls, ..Member::default() };
        let context = ConfChangeContext { member, is_promote: false };
        changes.push(ConfChange {
            r#type: Some(ConfChangeType::ConfChangeAddNode as i32),
            node_id: Some(own),
            context: Some(
                serde_json::to_vec(&context).context("failed to describe this member")?.into(),
            ),
            ..ConfChange::default()
        });
    }
    let others = ids.into_iter().filter(|id| *id != own && !cluster.is_removed(*id));
    changes.extend(others.map(|id| ConfChange {
        r#type: Some(ConfChangeType::ConfChangeRemoveNode as i32),
        node_id: Some(id),
        ..ConfChange::default()
    }));
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others go, ids that are gone already are left alone, a learner becomes a voter.
    #[test]
    fn everybody_else_is_removed() {
        let cluster = ClusterState::new(1, 5);
        for id in [5, 6, 7] {
            cluster.put_member(Member { id, is_learner: id == 5, ..Member::default() });
        }
        cluster.remove_member(7);
        let changes = changes(&cluster, [5, 6, 7, 8].into(), &[]).unwrap();
        let ids: Vec<_> =
            changes.iter().map(|change| (change.r#type(), change.node_id())).collect();
        let (add, remove) =
            (ConfChangeType::ConfChangeAddNode, ConfChangeType::ConfChangeRemoveNode);
        assert_eq!(ids, [(add, 5), (remove, 6), (remove, 8)]);
    }
}
