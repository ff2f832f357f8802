//! Start: reads the log that is there, whoever wrote it (this server, etcd, or a restore), and prepares the view.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use quorate_etcd_files::disk::Disk;
use quorate_etcd_files::wal::{EntryReader, EntryRef, Options, Replay, Writer};
use quorate_proto::raftpb::{self, EntryType, HardState};
use tokio::sync::watch;

use super::codec::{conf_change, entry_log_id, membership_in};
use super::pen::Pen;
use super::store::{LogStore, MembershipSeen, Place};
use super::view::View;
use super::writer;
use crate::raft::config::Observer;
use crate::raft::core::{LeaderId, LogId, ORIGIN, Vote, log_id, mark};
use crate::raft::error::Fatal;
use crate::raft::machine::AppliedState;
use crate::raft::membership::{Membership, StoredMembership};
use crate::storage::{LogPlace, SyncedLog};

/// Entries read in one go while memberships are looked for.
const SCAN: usize = 256;

/// Whose log is expected, and how it is kept.
pub(in crate::raft) struct LogIdentity {
    pub(in crate::raft) dir: PathBuf,
    pub(in crate::raft) member_id: u64,
    pub(in crate::raft) cluster_id: u64,
    /// Entries below the applied one that are kept at hand for followers.
    pub(in crate::raft) catchup_entries: u64,
    /// Segments kept although purged; 0 keeps all.
    pub(in crate::raft) segments_kept: usize,
    pub(in crate::raft) is_sync_off: bool,
    /// How segments are made.
    pub(in crate::raft) options: Options,
}

/// What a log needs of its surroundings.
pub(in crate::raft) struct LogSurroundings {
    pub(in crate::raft) disk: Arc<dyn Disk>,
    /// Hears of memberships in appended entries.
    pub(in crate::raft) seen: MembershipSeen,
    pub(in crate::raft) observer: Arc<dyn Observer>,
    /// How far the log was on disk when the state was last, and where that is noted.
    pub(in crate::raft) synced: Arc<SyncedLog>,
}

/// A log that is ready, and what it says of the state.
pub(in crate::raft) struct Opened {
    pub(in crate::raft) store: LogStore,
    /// The writer thread ends after [`LogStore::close`].
    pub(in crate::raft) thread: std::thread::JoinHandle<()>,
    /// The machine's applied state with its membership filled in; [`ORIGIN`] for an empty machine.
    pub(in crate::raft) applied: AppliedState,
    /// The newest membership in the log, committed or not.
    pub(in crate::raft) newest: Membership,
}

/// Opens the log for a machine that has applied `applied`.
///
/// # Errors
/// The log is another member's, damaged, or does not reach back to what the machine has applied.
pub(in crate::raft) fn open(
    identity: &LogIdentity,
    applied: Option<AppliedState>,
    around: LogSurroundings,
) -> Result<Opened, Fatal> {
    let LogSurroundings { disk, seen, observer, synced } = around;
    let (writer, replay) =
        Writer::open(disk, &identity.dir, identity.options).map_err(|error| unreadable(&error))?;
    check_identity(&replay, identity)?;
    if let Some(repair) = &replay.repair {
        tracing::warn!(
            path = %repair.path.display(), offset = repair.offset, broken = %repair.broken.display(),
            "repaired the torn tail of the write-ahead log"
        );
    }
    let mut applied = applied.unwrap_or_default();
    let boot = Boot { reader: writer.entry_reader(), replay, applied: applied.clone() };
    let (purged, found) = boot.cut_and_scan(identity.catchup_entries)?;
    let last = boot.last(purged)?;
    boot.refuse_strange_state(purged, last, identity)?;
    boot.refuse_lost_end(last, synced.at_open(), identity)?;
    if applied.membership.membership.members.is_empty() {
        applied.membership = found.at_applied.clone();
    }
    let newest = found.newest.clone().unwrap_or_else(|| applied.membership.membership.clone());
    let mut view = View::new(purged, last, boot.places_after(purged), found.known);
    let hard_state = boot.replay.hard_state;
    view.vote = vote(&hard_state);
    view.committed = Some(boot.committed(&hard_state, purged, last)?);
    let view = Arc::new(Mutex::new(view));
    let (writer, thread) = writer::start(Pen {
        writer,
        view: view.clone(),
        hard_state,
        segments_kept: identity.segments_kept,
        is_sync_off: identity.is_sync_off,
        observer,
        synced,
        fatal: watch::Sender::new(None),
    })?;
    let place = Arc::new(Place::new(identity.member_id, &newest));
    let store = LogStore { view, writer, reader: boot.reader, seen, place };
    Ok(Opened { store, thread, applied, newest })
}

/// A damaged log is never mended by guessing.
fn unreadable(error: &quorate_etcd_files::Error) -> Fatal {
    Fatal::new(format_args!(
        "{error}. Remove this member from the cluster and add it again with an empty directory, or restore a snapshot \
         into a new one."
    ))
}

fn check_identity(replay: &Replay, identity: &LogIdentity) -> Result<(), Fatal> {
    let (member, cluster) = (replay.metadata.node_id(), replay.metadata.cluster_id());
    if (member, cluster) == (identity.member_id, identity.cluster_id) {
        return Ok(());
    }
    Err(Fatal::new(format_args!(
        "the write-ahead log in {} belongs to member {member:x} of cluster {cluster:x}, this is member {:x} of \
         cluster {:x}",
        identity.dir.display(),
        identity.member_id,
        identity.cluster_id,
    )))
}

/// The vote in a hard state; none in a fresh log.
fn vote(state: &HardState) -> Option<Vote> {
    if state.term() == 0 {
        return None;
    }
    let leader_id = LeaderId { term: state.term(), node_id: state.vote() };
    Some(Vote { leader_id, committed: state.vote_committed() })
}

struct Boot {
    reader: EntryReader,
    replay: Replay,
    applied: AppliedState,
}

/// What the configuration entries say.
#[derive(Default)]
struct Found {
    /// Memberships after entries that do not carry theirs.
    known: BTreeMap<u64, Membership>,
    /// The membership in force at the applied entry, computed from the log.
    at_applied: StoredMembership,
    /// The membership after the last configuration entry, if there is one.
    newest: Option<Membership>,
}

impl Boot {
    /// Decides which entries are presented as purged, and scans the rest for memberships.
    fn cut_and_scan(&self, catchup_entries: u64) -> Result<(LogId, Found), Fatal> {
        let applied = self.applied.mark.index;
        // The machine knows nothing of its members: only the whole log can tell.
        let needs_all = self.applied.membership.membership.members.is_empty();
        let wanted = if needs_all { 0 } else { applied.saturating_sub(catchup_entries) };
        if let Some(found) = self.scan(self.cut_at(wanted)?)? {
            return Ok((self.cut_at(wanted.max(self.first_state(applied)))?, found));
        }
        // Entries that etcd wrote do not carry their membership. The machine's is known from its own entry on; what is
        // before that is not offered to followers, and one that lags so far gets a snapshot.
        let purged = self.cut_at(wanted.max(self.applied.membership.mark.index))?;
        let found = self.scan(purged)?;
        let purged = self.cut_at(purged.index.max(self.first_state(applied)))?;
        match found {
            Some(found) => Ok((purged, found)),
            None => Err(Fatal::new(
                "the write-ahead log does not say who the members are, and neither does the state",
            )),
        }
    }

    /// The entry up to which only a state tells what is true: a restored directory begins with a database that no
    /// entry describes, and a snapshot record at its place. Whoever lacks it must be sent a snapshot, never the entries.
    fn first_state(&self, applied: u64) -> u64 {
        let recorded = self.replay.snapshots.iter().map(|snapshot| snapshot.index());
        recorded.filter(|index| *index > 0).min().unwrap_or(0).min(applied)
    }

    /// The log id of the entry at `wanted`, or of the first one that is possible, for the purged mark.
    fn cut_at(&self, wanted: u64) -> Result<LogId, Fatal> {
        let before_first = self.replay.first_index - 1;
        let last = self.replay.last_index();
        let cut = wanted.min(last);
        let purged = if cut > before_first {
            self.log_id_at(cut)?
        } else if before_first == 0 {
            ORIGIN
        } else if let Some(log_id) = self.recorded(before_first) {
            log_id
        } else if last > before_first {
            self.log_id_at(self.replay.first_index)?
        } else {
            return Err(Fatal::new(format_args!(
                "the write-ahead log is empty from entry {} on and does not say what was before",
                self.replay.first_index
            )));
        };
        let applied = self.applied.mark.index;
        if purged.index > applied {
            return Err(Fatal::new(format_args!(
                "the write-ahead log begins after entry {}, but the state holds only entries up to {applied}",
                purged.index
            )));
        }
        Ok(purged)
    }

    /// The log id of an entry that is gone, if a snapshot record or the machine names it.
    fn recorded(&self, index: u64) -> Option<LogId> {
        if self.applied.mark.index == index {
            return Some(log_id(&self.applied.mark));
        }
        let snapshot = self.replay.snapshots.iter().rev().find(|s| s.index() == index)?;
        let leader_id = LeaderId { term: snapshot.term(), node_id: snapshot.leader_member_id() };
        Some(LogId { leader_id, index })
    }

    fn log_id_at(&self, index: u64) -> Result<LogId, Fatal> {
        let place = self
            .replay
            .entry_ref(index)
            .ok_or_else(|| Fatal::new(format_args!("the write-ahead log has no entry {index}")))?;
        Ok(entry_log_id(&self.reader.read(place).map_err(Fatal::new)?))
    }

    fn last(&self, purged: LogId) -> Result<LogId, Fatal> {
        let last = self.replay.last_index();
        if last <= purged.index { Ok(purged) } else { self.log_id_at(last) }
    }

    /// A committed entry never changes: a state that applied another one than the log holds is not this log's.
    fn refuse_strange_state(
        &self,
        purged: LogId,
        last: LogId,
        identity: &LogIdentity,
    ) -> Result<(), Fatal> {
        let applied = &self.applied.mark;
        if applied.index <= purged.index || applied.index > last.index {
            return Ok(());
        }
        let logged = mark(&self.log_id_at(applied.index)?);
        if logged == *applied {
            return Ok(());
        }
        Err(Fatal::new(format_args!(
            "the log in {} does not fit the state: entry {} was applied in term {} of leader {:x}, the log has it \
             in term {} of leader {:x}. Put back the directories that belong together, or restore a snapshot into a \
             new one.",
            identity.dir.display(),
            applied.index,
            applied.term,
            applied.leader_member_id,
            logged.term,
            logged.leader_member_id,
        )))
    }

    /// What was on disk stays there: a log that ends before what it was known to hold has lost entries that others count
    /// on. Without them this member would vote and answer as if it had never seen them.
    fn refuse_lost_end(
        &self,
        last: LogId,
        synced: Option<LogPlace>,
        identity: &LogIdentity,
    ) -> Result<(), Fatal> {
        let Some(synced) = synced else { return Ok(()) };
        let place = |term, index| LogPlace { term, index };
        let recorded =
            self.replay.snapshots.iter().map(|record| place(record.term(), record.index()));
        let end = recorded.fold(place(last.leader_id.term, last.index), LogPlace::max);
        if end >= synced {
            return Ok(());
        }
        Err(Fatal::new(format_args!(
            "the write-ahead log in {} has lost its end: it was on disk up to entry {} of term {}, and ends with entry {} \
             of term {}. Put back what is missing of it, or remove this member from the cluster and add it again with an \
             empty directory; a cluster of one is restored from a snapshot.",
            identity.dir.display(),
            synced.index,
            synced.term,
            end.index,
            end.term,
        )))
    }

    fn places_after(&self, purged: LogId) -> Vec<EntryRef> {
        let skip = (purged.index + 1).saturating_sub(self.replay.first_index);
        self.replay.entries.iter().skip(skip as usize).copied().collect()
    }

    /// What is known to be committed: the hard state's mark, but never more than there is, nor less than applied.
    fn committed(&self, state: &HardState, purged: LogId, last: LogId) -> Result<LogId, Fatal> {
        let applied = &self.applied.mark;
        let index = state.commit().min(last.index);
        if index <= applied.index {
            return Ok(if applied.index == 0 { ORIGIN } else { log_id(applied) });
        }
        if index <= purged.index { Ok(purged) } else { self.log_id_at(index) }
    }

    /// Walks the entries after `purged`; `None` when a membership cannot be known.
    fn scan(&self, purged: LogId) -> Result<Option<Found>, Fatal> {
        let mut found = Found::default();
        let mut current = (purged.index == 0).then(Membership::default);
        let applied = self.applied.mark.index;
        let machines = self.machines_membership();
        let machines_index = self.applied.membership.mark.index;
        if purged.index == applied || purged.index >= machines_index {
            current = machines.clone().or(current);
        }
        let mut index = purged.index;
        for places in self.places_after(purged).chunks(SCAN) {
            for entry in self.reader.read_run(places).map_err(Fatal::new)? {
                index += 1;
                if entry.r#type() != EntryType::EntryNormal {
                    let is_settled = machines_index < index && index <= applied;
                    let after = match &machines {
                        // A change that was refused when it was applied is in the log all the same.
                        Some(machines) if is_settled => Some(machines.clone()),
                        _ => self.after(&entry, current.as_ref())?,
                    };
                    let Some(after) = after else { return Ok(None) };
                    if entry.membership.is_none() {
                        found.known.insert(index, after.clone());
                    }
                    if index <= applied {
                        let mark = mark(&entry_log_id(&entry));
                        found.at_applied = StoredMembership { mark, membership: after.clone() };
                    }
                    found.newest = Some(after.clone());
                    current = Some(after);
                }
                if index == applied {
                    current = machines.clone().or(current);
                }
            }
        }
        Ok(Some(found))
    }

    fn machines_membership(&self) -> Option<Membership> {
        let membership = &self.applied.membership.membership;
        (!membership.members.is_empty()).then(|| membership.clone())
    }

    fn after(
        &self,
        entry: &raftpb::Entry,
        before: Option<&Membership>,
    ) -> Result<Option<Membership>, Fatal> {
        if let Some(membership) = membership_in(entry) {
            return membership.map(Some).map_err(Fatal::new);
        }
        let Some(before) = before else { return Ok(None) };
        if entry.r#type() != EntryType::EntryConfChange {
            return Err(Fatal::new(format_args!(
                "entry {} is a joint configuration change, which etcd never writes",
                entry.index()
            )));
        }
        let change = conf_change(entry).map_err(Fatal::new)?;
        before.changed_by(&change).map(Some).map_err(Fatal::new)
    }
}
