//! The log that a member of a new cluster begins with: the same for a first start and for a restored one.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use quorate_proto::{raftpb, walpb};

use super::initial_cluster::InitialCluster;
use crate::disk::Disk;
use crate::error::Result;
use crate::rows::Member;
use crate::wal::{EntryParts, Options, Writer};

/// Term of the entries that form the initial cluster.
pub(super) const FIRST_TERM: u64 = 1;

/// Makes the log of member `member_id` of a new cluster in `dir`, which must not exist: metadata, one configuration
/// change per member in the order of their ids (term 1, index 1 to n), and a hard state that has them committed. It is
/// there whole or not at all.
///
/// A cluster without members makes the log of a member that joins: whose it is, and nothing else.
///
/// With `is_restored` a snapshot record at index n follows, as for a database that already holds those entries.
pub fn create_log(
    disk: Arc<dyn Disk>,
    dir: &Path,
    cluster: &InitialCluster,
    member_id: u64,
    is_restored: bool,
    options: Options,
) -> Result<Writer> {
    let metadata =
        walpb::Metadata { node_id: Some(member_id), cluster_id: Some(cluster.cluster_id) };
    let count = cluster.members.len() as u64;
    Writer::create_with(disk, dir, metadata, options, |log| {
        for (index, member) in (1..).zip(&cluster.members) {
            log.append(&EntryParts {
                kind: raftpb::EntryType::EntryConfChange,
                term: FIRST_TERM,
                index,
                data: &add_member(member),
                ..EntryParts::default()
            });
        }
        if cluster.members.is_empty() {
            return;
        }
        log.append_hard_state(&raftpb::HardState {
            term: Some(FIRST_TERM),
            vote: cluster.members.first().map(|member| member.id),
            commit: Some(count),
            vote_committed: None,
        });
        if is_restored {
            log.append_snapshot(&walpb::Snapshot {
                index: Some(count),
                term: Some(FIRST_TERM),
                conf_state: Some(cluster.conf_state()),
                ..walpb::Snapshot::default()
            });
        }
    })
}

fn add_member(member: &Member) -> Vec<u8> {
    let change = raftpb::ConfChange {
        id: Some(0),
        r#type: Some(raftpb::ConfChangeType::ConfChangeAddNode as i32),
        node_id: Some(member.id),
        context: Some(Bytes::from(member.to_json())),
    };
    change.encode_to_vec()
}
