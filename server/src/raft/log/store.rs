//! openraft's log storage over the view and the writer thread.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::Stream;
use futures::stream;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use quorate_etcd_files::wal::{EntryReader, EntryRef};
use quorate_proto::{raftpb, walpb};
use tokio::sync::oneshot;

use super::codec::{from_wire, size};
use super::view::{Found, View};
use super::writer::{Op, WriterHandle, commit_index};
use crate::raft::core::{Entry, EntryData, LogId, TypeConfig, Vote};
use crate::raft::error::Fatal;
use crate::raft::machine::AppliedState;
use crate::raft::membership::Membership;

/// Most bytes of entries that are read for one append or one step of applying.
const READ_BYTES: usize = 2 << 20;

/// Hears of memberships as soon as they are in the log, before they are committed: a leader must know where to reach
/// the member that it is adding.
pub(in crate::raft) type MembershipSeen = Arc<dyn Fn(&Membership) + Send + Sync>;

/// An entry up to this size may be written on the spot.
const LONE_BYTES_MAX: usize = 64 << 10;

/// Who writes an entry, by what raft has to do meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Raft does, before anything else: it has nothing else to do with it.
    Now,
    /// Raft does, once it has sent it out.
    Sent,
    /// The writer thread does, with all that comes meanwhile.
    Queued,
}

/// What the log has to know of this member to tell whose turn it is.
pub(super) struct Place {
    member_id: u64,
    /// Nobody else has to be sent what is appended here.
    is_alone: AtomicBool,
}

impl Place {
    /// The place of a member in the newest membership of its log.
    pub(super) fn new(member_id: u64, newest: &Membership) -> Place {
        Place { member_id, is_alone: AtomicBool::new(newest.members.len() == 1) }
    }

    fn see(&self, membership: &Membership) {
        self.is_alone.store(membership.members.len() == 1, Ordering::Relaxed);
    }

    fn turn(&self, entries: &[Entry]) -> Turn {
        let [entry] = entries else { return Turn::Queued };
        if size(entry) > LONE_BYTES_MAX {
            return Turn::Queued;
        }
        let is_others = entry.log_id.leader_id.node_id != self.member_id;
        if is_others || self.is_alone.load(Ordering::Relaxed) { Turn::Now } else { Turn::Sent }
    }
}

/// Writes what was left, behind everything that raft has to do now, sending among it.
async fn write_later(writer: WriterHandle) {
    tokio::task::yield_now().await;
    writer.write_left();
}

/// The log. Clones share everything.
#[derive(Clone)]
pub(in crate::raft) struct LogStore {
    pub(super) view: Arc<Mutex<View>>,
    pub(super) writer: WriterHandle,
    pub(super) reader: EntryReader,
    pub(super) seen: MembershipSeen,
    pub(super) place: Arc<Place>,
}

impl LogStore {
    /// Set once when the log cannot be written any more.
    pub(in crate::raft) fn fatal(&self) -> tokio::sync::watch::Receiver<Option<Fatal>> {
        self.writer.fatal.clone()
    }

    /// Marks in the log that the state up to `state` is on disk elsewhere; etcd's tools start to read there.
    pub(in crate::raft) fn mark_snapshot(&self, state: &AppliedState) {
        self.writer.push(Op::Snapshot(Box::new(snapshot_record(state))));
    }

    /// Writes and syncs what is queued and ends the writer thread.
    pub(in crate::raft) fn close(&self) {
        self.writer.push(Op::Stop);
    }

    /// Index of the last entry that is known to be committed.
    pub(in crate::raft) fn committed_index(&self) -> u64 {
        commit_index(self.view.lock().committed.as_ref())
    }

    /// The last entry, on disk or on its way.
    pub(in crate::raft) fn last(&self) -> LogId {
        self.view.lock().last
    }

    async fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let found = self.view.lock().find(start, end, bytes_max);
        if found.iter().all(|found| matches!(found, Found::Cached(_))) {
            let cached = |found| match found {
                Found::Cached(entry) => Some(entry),
                Found::OnDisk(..) => None,
            };
            return Ok(found.into_iter().filter_map(cached).collect());
        }
        let reader = self.reader.clone();
        let read = tokio::task::spawn_blocking(move || read_from_disk(&reader, found));
        read.await.map_err(io::Error::other)?
    }
}

/// Fills what is not in memory.
fn read_from_disk(reader: &EntryReader, found: Vec<Found>) -> io::Result<Vec<Entry>> {
    let place = |found: &Found| match found {
        Found::OnDisk(place, _) => Some(*place),
        Found::Cached(_) => None,
    };
    let places: Vec<EntryRef> = found.iter().filter_map(place).collect();
    let mut from_disk = reader.read_run(&places).map_err(io::Error::other)?.into_iter();
    let entry = |found| match found {
        Found::Cached(entry) => Ok(entry),
        Found::OnDisk(_, known) => {
            let entry: raftpb::Entry =
                from_disk.next().ok_or_else(|| io::Error::other("fewer entries than asked for"))?;
            from_wire(entry, known.as_ref()).map_err(io::Error::other)
        }
    };
    found.into_iter().map(entry).collect()
}

/// The record that etcd's tools look for.
pub(super) fn snapshot_record(state: &AppliedState) -> walpb::Snapshot {
    let membership = &state.membership.membership;
    walpb::Snapshot {
        index: Some(state.mark.index),
        term: Some(state.mark.term),
        conf_state: Some(raftpb::ConfState {
            voters: membership.voters().collect(),
            learners: membership.learners().collect(),
            auto_leave: Some(false),
            ..raftpb::ConfState::default()
        }),
        leader_member_id: Some(state.mark.leader_member_id),
        membership: Some(state.membership.encode()),
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (start, end) = bounds(&range);
        // Entry 0 is a fiction, and what is purged is not there: the range begins with what there is.
        let start = start.max(self.view.lock().purged.index + 1);
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, READ_BYTES).await
    }

    /// Reads step by step, so that a long replay does not hold the whole log in memory.
    async fn entries_stream<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + Send {
        let (start, end) = bounds(&range);
        let store = self.clone();
        let steps = stream::unfold(Some(start), move |next| {
            let store = store.clone();
            async move {
                let start = next.filter(|start| *start < end)?;
                match store.read(start, end, READ_BYTES).await {
                    Ok(entries) if entries.is_empty() => None,
                    Ok(entries) => {
                        let next = start + entries.len() as u64;
                        Some((entries.into_iter().map(Ok).collect::<Vec<_>>(), Some(next)))
                    }
                    Err(error) => Some((vec![Err(error)], None)),
                }
            }
        });
        Box::pin(futures::StreamExt::flat_map(steps, stream::iter))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.view.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let (last_purged_log_id, last_log_id) = self.view.lock().state();
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.writer.push(Op::Vote { vote: *vote, done });
        written.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        self.view.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.view.lock().committed = committed;
        self.writer.push(Op::Commit(commit_index(committed.as_ref())));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.view.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        for entry in &entries {
            if let EntryData::Change(change) = &entry.payload {
                (self.seen)(&change.after);
                self.place.see(&change.after);
            }
        }
        let turn = self.place.turn(&entries);
        // Nobody else appends meanwhile, so sequence numbers reach the writer in order.
        let first_sequence = self.view.lock().append(&entries).map_err(io::Error::other)?;
        let append = Op::Append { entries, first_sequence, done };
        match turn {
            Turn::Now => self.writer.write_now(append),
            Turn::Sent => {
                if self.writer.leave(append) {
                    tokio::spawn(write_later(self.writer.clone()));
                }
            }
            Turn::Queued => self.writer.push(append),
        }
        Ok(())
    }

    /// Only in memory: on disk the entries that follow replace what is there. Where a crash comes between, the old
    /// entries are back, which is as if the truncation had not happened yet.
    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let keep = last_log_id.unwrap_or(crate::raft::core::ORIGIN);
        self.view.lock().truncate_after(keep);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let is_beyond = {
            let mut view = self.view.lock();
            let is_beyond = log_id.index > view.last.index;
            view.purge(log_id);
            is_beyond
        };
        if is_beyond {
            // The state came as a snapshot: the entries to come leave a hole that the log has to explain.
            self.writer.push(Op::Snapshot(Box::new(walpb::Snapshot {
                index: Some(log_id.index),
                term: Some(log_id.leader_id.term),
                leader_member_id: Some(log_id.leader_id.node_id),
                ..walpb::Snapshot::default()
            })));
        }
        self.writer.push(Op::Purge { below: log_id.index + 1 });
        Ok(())
    }
}
