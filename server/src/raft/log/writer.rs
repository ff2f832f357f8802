//! The queue of the log and the one thread that writes it. The thread drains the queue, appends all frames, syncs once,
//! and tells all that waited: group commit. Votes go the same way, so that they are ordered with the entries.
//!
//! A lone entry need not go through the thread: waking it and being woken by it takes longer than many a disk takes to
//! sync. Where nothing else is under way and the disk is quick, whoever brings the entry writes it, at once
//! ([`WriterHandle::write_now`]) or after what is more urgent ([`WriterHandle::leave`]).
//!
//! The queue needs no limit of its own: what is in it is bounded by the proposals a leader admits and by the appends
//! that openraft keeps under way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use openraft::storage::IOFlushed;
use parking_lot::{Condvar, Mutex};
use quorate_proto::walpb;
use tokio::sync::{oneshot, watch};

use super::pen::{Pen, Written};
use crate::raft::core::{Entry, LogId, TypeConfig, Vote};
use crate::raft::error::Fatal;

/// How long a new commit mark waits for entries to be written along with. It is never synced for its own sake, so
/// nothing is lost by it, and under load it costs no wakening of the thread.
const COMMIT_DELAY: Duration = Duration::from_millis(10);
/// The last sync has to have been quicker than this for an entry to be written on the spot: raft waits for it.
const SYNC_QUICK: Duration = Duration::from_millis(1);

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
    /// Somebody has taken operations and not written them yet: whoever comes has to wait in line.
    is_writing: bool,
    /// The last sync took less than [`SYNC_QUICK`].
    is_quick: bool,
    /// Set once nothing is written any more.
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

    /// There is nothing for the thread to do, a commit mark aside.
    fn lets_thread_rest(&self) -> bool {
        self.end.is_none() && (self.is_writing || self.holds_at_most_a_commit())
    }

    /// Whether one more operation may be written by whoever brings it.
    fn is_free(&self) -> bool {
        self.end.is_none() && self.is_quick && !self.is_writing && self.holds_at_most_a_commit()
    }

    /// All that is queued, for the one who writes it now.
    fn take(&mut self) -> Vec<Op> {
        self.is_writing = true;
        std::mem::take(&mut self.ops)
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

/// The way to the log's file.
#[derive(Clone)]
pub(super) struct WriterHandle {
    queue: Arc<Queue>,
    /// Held by the one who has set [`QueueState::is_writing`].
    pen: Arc<Mutex<Pen>>,
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

    /// Writes an operation on the spot where that is likely to be quick, or hands it to the thread. Blocks for a sync.
    pub(super) fn write_now(&self, op: Op) {
        if self.leave(op) {
            self.write_left();
        }
    }

    /// Queues an operation and wakes nobody, where whoever brings it is free to write it: then [`Self::write_left`] has to
    /// follow soon. Otherwise hands it to the thread. Tells which.
    pub(super) fn leave(&self, op: Op) -> bool {
        let mut state = self.queue.state.lock();
        if !state.is_free() {
            drop(state);
            self.push(op);
            return false;
        }
        state.ops.push(op);
        true
    }

    /// Writes what was left, unless the thread has come for it with something else. Blocks for a sync.
    pub(super) fn write_left(&self) {
        let ops = {
            let mut state = self.queue.state.lock();
            if state.is_writing || state.holds_at_most_a_commit() {
                return;
            }
            state.take()
        };
        self.queue.write(&self.pen, ops);
    }
}

#[cfg(test)]
impl WriterHandle {
    /// The thread has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.state.lock().end.is_some()
    }
}

/// Starts the thread. The join handle ends after [`Op::Stop`] or a failed write.
///
/// # Errors
/// The system has no thread to give.
pub(super) fn start(pen: Pen) -> Result<(WriterHandle, std::thread::JoinHandle<()>), Fatal> {
    let queue = Arc::new(Queue::default());
    let fatal = pen.fatal.subscribe();
    let handle = WriterHandle { queue: queue.clone(), pen: Arc::new(Mutex::new(pen)), fatal };
    let pen = handle.pen.clone();
    let thread = std::thread::Builder::new()
        .name("wal-writer".to_owned())
        .spawn(move || {
            while let Some(ops) = next_group(&queue) {
                queue.write(&pen, ops);
            }
        })
        .map_err(|error| Fatal::new(format_args!("start the log writer: {error}")))?;
    Ok((handle, thread))
}

impl Queue {
    /// Writes what was taken from the queue, tells who waits, and lets the next one write.
    fn write(&self, pen: &Mutex<Pen>, ops: Vec<Op>) {
        let written = {
            let mut pen = pen.lock();
            // A writer that has panicked has written who knows what: the member must not go on either.
            catch_unwind(AssertUnwindSafe(|| pen.write(ops))).unwrap_or_else(|_| {
                let panicked = Fatal::new("the log writer has panicked");
                pen.fatal.send_replace(Some(panicked.clone()));
                Written::Ended(panicked)
            })
        };
        match written {
            Written::Synced(took) => {
                let mut state = self.state.lock();
                state.is_writing = false;
                state.is_quick = took.map_or(state.is_quick, |took| took < SYNC_QUICK);
                if !state.ops.is_empty() {
                    self.arrived.notify_one();
                }
            }
            Written::Ended(end) => {
                self.close(&end);
                self.arrived.notify_one();
            }
        }
    }
}

/// Waits for work; `None` at the end. Entries bring a commit mark after them, and that one waits a little for the next
/// entries: so the thread dozes before it sleeps soundly.
fn next_group(queue: &Queue) -> Option<Vec<Op>> {
    let mut state = queue.state.lock();
    loop {
        if state.lets_thread_rest() {
            state.is_dozing = true;
            queue.arrived.wait_while_for(
                &mut state,
                |state| state.lets_thread_rest(),
                COMMIT_DELAY,
            );
            state.is_dozing = false;
        }
        if state.end.is_some() {
            return None;
        }
        if !state.is_writing && !state.ops.is_empty() {
            return Some(state.take());
        }
        queue.arrived.wait(&mut state);
    }
}

/// The commit index as the hard state wants it.
pub(super) fn commit_index(committed: Option<&LogId>) -> u64 {
    committed.map_or(0, |log_id| log_id.index)
}
