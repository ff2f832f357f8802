//! The one thread that writes the log. It drains its queue, appends all frames, syncs once, and tells all that waited:
//! group commit. Votes go the same way, so that they are ordered with the entries.
//!
//! The queue needs no limit of its own: what is in it is bounded by the proposals a leader admits and by the appends
//! that openraft keeps under way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::storage::IOFlushed;
use parking_lot::{Condvar, Mutex};
use quorate_etcd_files::wal::{EntryRef, Writer};
use quorate_proto::{raftpb, walpb};
use tokio::sync::{oneshot, watch};

use super::codec::Encoded;
use super::view::View;
use crate::raft::config::Observer;
use crate::raft::core::{Entry, LogId, TypeConfig, Vote};
use crate::raft::error::Fatal;

/// Buffered bytes after which frames are handed to the operating system in the middle of a group.
const BUFFER_MAX: usize = 4 << 20;
/// How long a new commit mark waits for entries to be written along with. It is never synced for its own sake, so
/// nothing is lost by it, and under load it costs no wakening of the thread.
const COMMIT_DELAY: Duration = Duration::from_millis(10);
/// A sync that takes longer is logged, as etcd does.
const SYNC_SLOW: Duration = Duration::from_secs(1);

/// One thing to write.
pub(super) enum Op {
    /// Entries; `first_sequence` is the view's number of the first.
    Append { entries: Vec<Entry>, first_sequence: u64, done: IOFlushed<TypeConfig> },
    /// A vote, synced.
    Vote { vote: Vote, done: oneshot::Sender<Result<(), Fatal>> },
    /// A new commit mark, not synced.
    Commit(u64),
    /// The state up to here is on disk elsewhere.
    Snapshot(Box<walpb::Snapshot>),
    /// Entries below the index are not needed any more.
    Purge { below: u64 },
    /// The end. Everything before it is written and synced first.
    Stop,
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    ops: Vec<Op>,
    /// The thread sleeps for [`COMMIT_DELAY`] at most: a commit mark need not wake it.
    is_dozing: bool,
    /// Set once the thread has ended: nothing is written any more.
    end: Option<Fatal>,
}

impl Queue {
    /// Nothing is written any more: all that wait hear of it, and all that come.
    fn close(&self, end: &Fatal) {
        let left = {
            let mut state = self.state.lock();
            state.end = Some(end.clone());
            std::mem::take(&mut state.ops)
        };
        left.into_iter().for_each(|op| op.fail(end));
    }
}

impl QueueState {
    fn holds_at_most_a_commit(&self) -> bool {
        self.ops.iter().all(|op| matches!(op, Op::Commit(_)))
    }
}

impl Op {
    /// Tells whoever waits that this was not written.
    fn fail(self, error: &Fatal) {
        match self {
            Op::Append { done, .. } => done.io_completed(Err(std::io::Error::other(error.clone()))),
            // Whoever asked may be gone.
            Op::Vote { done, .. } => drop(done.send(Err(error.clone()))),
            Op::Commit(_) | Op::Snapshot(_) | Op::Purge { .. } | Op::Stop => {}
        }
    }
}

/// The way to the writer thread.
#[derive(Clone)]
pub(super) struct WriterHandle {
    queue: Arc<Queue>,
    pub(super) fatal: watch::Receiver<Option<Fatal>>,
}

impl WriterHandle {
    pub(super) fn push(&self, op: Op) {
        let mut state = self.queue.state.lock();
        if let Some(error) = state.end.clone() {
            drop(state);
            return op.fail(&error);
        }
        let may_wait = state.is_dozing && matches!(op, Op::Commit(_));
        match (&op, state.ops.last_mut()) {
            (Op::Commit(new), Some(Op::Commit(old))) => *old = *new,
            _ => state.ops.push(op),
        }
        // The writer only sleeps while the queue is empty or holds one commit mark.
        if state.ops.len() <= 2 && !may_wait {
            self.queue.arrived.notify_one();
        }
    }
}

#[cfg(test)]
impl WriterHandle {
    /// The thread has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.state.lock().end.is_some()
    }
}

/// What the thread owns.
pub(super) struct WriterThread {
    pub(super) writer: Writer,
    pub(super) view: Arc<Mutex<View>>,
    pub(super) hard_state: raftpb::HardState,
    pub(super) segments_kept: usize,
    pub(super) is_sync_off: bool,
    pub(super) observer: Arc<dyn Observer>,
}

/// A written run of entries, of which the view has to be told.
struct Run {
    first_index: u64,
    first_sequence: u64,
    places: Vec<EntryRef>,
}

/// What a group has done and whom to tell.
#[derive(Default)]
struct Group {
    runs: Vec<Run>,
    appended: Vec<IOFlushed<TypeConfig>>,
    voted: Vec<oneshot::Sender<Result<(), Fatal>>>,
    purge_below: u64,
    needs_sync: bool,
    is_state_due: bool,
    is_last: bool,
}

impl WriterThread {
    /// Starts the thread. The join handle ends after [`Op::Stop`] or a failed write.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(self) -> Result<(WriterHandle, std::thread::JoinHandle<()>), Fatal> {
        let queue = Arc::new(Queue::default());
        let (fatal_tx, fatal) = watch::channel(None);
        let handle = WriterHandle { queue: queue.clone(), fatal };
        let thread = std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || {
                // A writer that has panicked has written who knows what: the member must not go on either.
                let run = AssertUnwindSafe(|| self.run(&queue, &fatal_tx));
                let end = catch_unwind(run).unwrap_or_else(|_| {
                    let panicked = Fatal::new("the log writer has panicked");
                    fatal_tx.send_replace(Some(panicked.clone()));
                    panicked
                });
                queue.close(&end);
            })
            .map_err(|error| Fatal::new(format_args!("start the log writer: {error}")))?;
        Ok((handle, thread))
    }

    /// Writes until the end; returns why nothing can be written any more.
    fn run(mut self, queue: &Queue, fatal: &watch::Sender<Option<Fatal>>) -> Fatal {
        loop {
            let mut group = Group::default();
            let result = self.write_group(next_group(queue), &mut group);
            if let Err(error) = &result {
                // Before anyone is told, so that whoever is told can say why.
                fatal.send_replace(Some(error.clone()));
            }
            for done in group.appended {
                done.io_completed(result.clone().map_err(std::io::Error::other));
            }
            for done in group.voted {
                // Whoever asked may be gone.
                let _ = done.send(result.clone());
            }
            match result {
                Err(error) => return error,
                Ok(()) if group.is_last => return Fatal::new("the write-ahead log is closed"),
                Ok(()) => self.purge(group.purge_below),
            }
        }
    }

    fn write_group(&mut self, ops: Vec<Op>, group: &mut Group) -> Result<(), Fatal> {
        let mut failure = None;
        for op in ops {
            // After a failure the rest is only collected, so that all hear of it.
            if let Err(error) = self.encode(op, group, failure.is_some()) {
                failure.get_or_insert(error);
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if group.is_state_due {
            self.writer.append_hard_state(&self.hard_state);
        }
        self.flush(group)?;
        if group.needs_sync && !self.is_sync_off {
            let took = self.writer.sync().map_err(Fatal::new)?;
            self.observer.wal_synced(took);
            if took > SYNC_SLOW {
                tracing::warn!(took = ?took, "slow fdatasync");
            }
        }
        Ok(())
    }

    fn encode(&mut self, op: Op, group: &mut Group, has_failed: bool) -> Result<(), Fatal> {
        match op {
            Op::Append { entries, first_sequence, done } => {
                group.appended.push(done);
                if has_failed {
                    return Ok(());
                }
                group.needs_sync = true;
                let mut places = Vec::with_capacity(entries.len());
                let first_index = entries.first().map_or(0, |entry| entry.log_id.index);
                for entry in &entries {
                    let encoded = Encoded::of(entry);
                    places.push(self.writer.append(&encoded.parts(&entry.log_id)));
                }
                group.runs.push(Run { first_index, first_sequence, places });
            }
            Op::Vote { vote, done } => {
                group.voted.push(done);
                self.hard_state.term = Some(vote.leader_id.term);
                self.hard_state.vote = Some(vote.leader_id.node_id);
                self.hard_state.vote_committed = Some(vote.committed);
                group.is_state_due = true;
                group.needs_sync = true;
            }
            Op::Commit(index) => {
                self.hard_state.commit = Some(index);
                group.is_state_due = true;
            }
            Op::Snapshot(snapshot) => self.writer.append_snapshot(&snapshot),
            Op::Purge { below } => group.purge_below = group.purge_below.max(below),
            Op::Stop => group.is_last = true,
        }
        if self.writer.buffered_bytes() > BUFFER_MAX && !has_failed {
            self.flush(group)?;
        }
        Ok(())
    }

    /// Hands frames to the operating system; from here on the entries can be read from the file.
    fn flush(&mut self, group: &mut Group) -> Result<(), Fatal> {
        let (bytes, start) = (self.writer.buffered_bytes(), Instant::now());
        self.writer.write().map_err(Fatal::new)?;
        if bytes > 0 {
            self.observer.wal_written(bytes, start.elapsed());
        }
        if !group.runs.is_empty() {
            let mut view = self.view.lock();
            for run in group.runs.drain(..) {
                view.placed(run.first_index, run.first_sequence, &run.places);
            }
        }
        Ok(())
    }

    fn purge(&mut self, below: u64) {
        if below == 0 || self.segments_kept == 0 {
            return;
        }
        // A segment that cannot be removed costs space, nothing else.
        if let Err(error) = self.writer.purge(below, self.segments_kept) {
            tracing::warn!(%error, "could not remove an old write-ahead log segment");
        }
    }
}

/// Waits for work. Entries bring a commit mark after them, and that one waits a little for the next entries: so the
/// thread dozes before it sleeps soundly.
fn next_group(queue: &Queue) -> Vec<Op> {
    let mut state = queue.state.lock();
    while state.holds_at_most_a_commit() {
        let lone = QueueState::holds_at_most_a_commit;
        state.is_dozing = true;
        queue.arrived.wait_while_for(&mut state, |state| lone(state), COMMIT_DELAY);
        state.is_dozing = false;
        if !state.ops.is_empty() {
            break;
        }
        queue.arrived.wait(&mut state);
    }
    std::mem::take(&mut state.ops)
}

/// The commit index as the hard state wants it.
pub(super) fn commit_index(committed: Option<&LogId>) -> u64 {
    committed.map_or(0, |log_id| log_id.index)
}
