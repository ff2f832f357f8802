//! A Quorate survivor's data directory, as far as its log tells: who it is, who the others were, where the log ends.
//!
//! The state itself (`member/snap/state`) is the server's own format and is read by the server only, in the replay. The
//! log has etcd's format, so the members are folded from its configuration changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use quorate_etcd_files::datadir::DataDir;
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_etcd_files::rows::Member;
use quorate_etcd_files::wal::{EntryReader, Reader, Replay};
use quorate_proto::etcdserverpb::InternalRaftRequest;
use quorate_proto::raftpb::{ConfChange, ConfChangeType, Entry, EntryType};
use rustix::fs::{FlockOperation, flock};

use super::inventory::{ServerKind, SurvivorFacts, TAIL_SHOWN_MAX, describe, member_facts};
use crate::error::{AgentError, Result};
use crate::take::file_error;

/// Entries read at a time.
const RUN: usize = 256;

/// True for a directory a Quorate server has run on. It may still hold the etcd database it was made from.
pub fn is_quorate(data_dir: &DataDir) -> bool {
    data_dir.snap().join("state").is_dir()
}

/// Reads the log of a member that is down.
pub fn read(data_dir: &DataDir) -> Result<SurvivorFacts> {
    check_idle(&data_dir.member().join("lock"))?;
    let log = Log::read(&data_dir.wal()).map_err(file_error)?;
    let commit_index = log.replay.hard_state.commit();
    let last_index = log.replay.last_index().max(commit_index);
    if log.replay.is_purged && log.members.is_empty() {
        return Err(AgentError::refused(
            format!("the log in {} does not reach back to the members", data_dir.wal().display()),
            "Recover from a backup, or take a snapshot from the survivor while it runs (`backup now` works \
             without a quorum).",
        ));
    }
    let mut members: Vec<_> = log.members.into_values().map(member_facts).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(SurvivorFacts {
        server: ServerKind::Quorate,
        cluster_id: format!("{:x}", log.replay.metadata.cluster_id()),
        member_id: format!("{:x}", log.replay.metadata.node_id()),
        members,
        database_revision: None,
        n_pending: None,
        commit_index,
        last_index,
        tail: log.tail,
        // Such a log is refused above: only the server can read the state that goes with it, and it does not start.
        lost: None,
    })
}

/// A server holds this lock as long as it runs.
fn check_idle(lock: &Path) -> Result<()> {
    let file = match File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(AgentError::io("open", lock)(error)),
    };
    flock(&file, FlockOperation::NonBlockingLockShared).map_err(|_| {
        AgentError::refused(
            format!("a running server holds {}", lock.display()),
            "Stop it first. While it runs, `backup now` takes a snapshot from it even without a quorum.",
        )
    })
}

struct Log {
    replay: Replay,
    members: BTreeMap<u64, Member>,
    tail: Vec<super::inventory::TailEntry>,
}

impl Log {
    fn read(wal: &Path) -> quorate_etcd_files::Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let replay = Replay::read(&mut Reader::open(&disk, wal)?)?;
        let reader = EntryReader::open(&disk, wal)?;
        let (mut members, mut tail) = (BTreeMap::new(), Vec::new());
        let commit = replay.hard_state.commit();
        for run in replay.entries.chunks(RUN) {
            for entry in reader.read_run(run)? {
                fold(&mut members, &entry);
                if entry.index() > commit && tail.len() < TAIL_SHOWN_MAX {
                    tail.push(describe(&entry));
                }
            }
        }
        Ok(Self { replay, members, tail })
    }
}

/// What an entry changes about the members.
fn fold(members: &mut BTreeMap<u64, Member>, entry: &Entry) {
    let data = entry.data.clone().unwrap_or_default();
    if entry.r#type() == EntryType::EntryConfChange {
        let Ok(change) = ConfChange::decode(data) else { return };
        let id = change.node_id();
        match change.r#type() {
            ConfChangeType::ConfChangeRemoveNode => {
                members.remove(&id);
            }
            ConfChangeType::ConfChangeAddNode
            | ConfChangeType::ConfChangeAddLearnerNode
            | ConfChangeType::ConfChangeUpdateNode => {
                let context = change.context.clone().unwrap_or_default();
                let Some(mut told) = Member::from_json(&context) else { return };
                if let Some(known) = members.get(&id) {
                    // An update or a promotion does not repeat what the member has published.
                    told.name = if told.name.is_empty() { known.name.clone() } else { told.name };
                    if told.client_urls.is_empty() {
                        told.client_urls.clone_from(&known.client_urls);
                    }
                    if told.peer_urls.is_empty() {
                        told.peer_urls.clone_from(&known.peer_urls);
                    }
                }
                told.id = id;
                told.is_learner = change.r#type() == ConfChangeType::ConfChangeAddLearnerNode;
                members.insert(id, told);
            }
        }
        return;
    }
    // Most entries are puts; the request that publishes a member is rare, and looked for by decoding them all.
    let Ok(request) = InternalRaftRequest::decode(data) else { return };
    if let Some(published) = request.cluster_member_attr_set
        && let Some(member) = members.get_mut(&published.member_id)
        && let Some(attributes) = published.member_attributes
    {
        member.name = attributes.name;
        member.client_urls = attributes.client_urls;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ConfChangeType, id: u64, json: &str) -> Entry {
        let change = ConfChange {
            id: Some(0),
            r#type: Some(kind as i32),
            node_id: Some(id),
            context: Some(bytes::Bytes::copy_from_slice(json.as_bytes())),
        };
        Entry {
            r#type: Some(EntryType::EntryConfChange as i32),
            data: Some(change.encode_to_vec().into()),
            ..Entry::default()
        }
    }

    /// Additions, a promotion that repeats only part, and a removal leave the members that are there.
    #[test]
    fn members_are_folded_from_the_log() {
        let mut members = BTreeMap::new();
        let add = ConfChangeType::ConfChangeAddNode;
        fold(&mut members, &change(add, 1, r#"{"id":1,"peerURLs":["http://a:1"],"name":"m1"}"#));
        fold(&mut members, &change(add, 2, r#"{"id":2,"peerURLs":["http://b:1"],"name":"m2"}"#));
        let learner = ConfChangeType::ConfChangeAddLearnerNode;
        fold(&mut members, &change(learner, 3, r#"{"id":3,"peerURLs":["http://c:1"]}"#));
        assert!(members[&3].is_learner);
        fold(&mut members, &change(add, 3, r#"{"id":3,"peerURLs":null,"isPromote":true}"#));
        fold(&mut members, &change(ConfChangeType::ConfChangeRemoveNode, 2, ""));
        assert_eq!(members.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert!(!members[&3].is_learner);
        assert_eq!(members[&3].peer_urls, ["http://c:1"]);
    }
}
