//! What writes a group of operations into the log: frames, one sync, then everyone who waited is told. Who writes when
//! is the queue's matter ([`super::writer`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use quorate_etcd_files::wal::{EntryRef, Writer};
use quorate_proto::raftpb;
use tokio::sync::{oneshot, watch};

use super::codec::Encoded;
use super::view::View;
use super::writer::Op;
use crate::raft::config::Observer;
use crate::raft::core::TypeConfig;
use crate::raft::error::Fatal;
use crate::storage::{LogPlace, SyncedLog};

/// Buffered bytes after which frames are handed to the operating system in the middle of a group.
const BUFFER_MAX: usize = 4 << 20;
/// A sync that takes longer is logged, as etcd does.
const SYNC_SLOW: Duration = Duration::from_secs(1);

/// What is needed to write.
pub(super) struct Pen {
    pub(super) writer: Writer,
    pub(super) view: Arc<Mutex<View>>,
    pub(super) hard_state: raftpb::HardState,
    pub(super) segments_kept: usize,
    pub(super) is_sync_off: bool,
    pub(super) observer: Arc<dyn Observer>,
    /// Told what is on disk.
    pub(super) synced: Arc<SyncedLog>,
    /// Set with the first error; nothing is written after it.
    pub(super) fatal: watch::Sender<Option<Fatal>>,
}

/// How a group went.
pub(super) enum Written {
    /// It is on disk; how long the sync took, if there was one.
    Synced(Option<Duration>),
    /// Nothing is written any more: a failed write, or the end that was asked for.
    Ended(Fatal),
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
    /// The last entry written.
    last: Option<LogPlace>,
    appended: Vec<IOFlushed<TypeConfig>>,
    voted: Vec<oneshot::Sender<Result<(), Fatal>>>,
    purge_below: u64,
    needs_sync: bool,
    is_state_due: bool,
    is_last: bool,
}

impl Pen {
    /// Writes a group, syncs it and tells all that wait for it.
    pub(super) fn write(&mut self, ops: Vec<Op>) -> Written {
        let mut group = Group::default();
        let result = self.write_group(ops, &mut group);
        if let Err(error) = &result {
            // Before anyone is told, so that whoever is told can say why.
            self.fatal.send_replace(Some(error.clone()));
        }
        let told = result.as_ref().map(|_| ()).map_err(Fatal::clone);
        for done in group.appended {
            done.io_completed(told.clone().map_err(std::io::Error::other));
        }
        for done in group.voted {
            // Whoever asked may be gone.
            let _ = done.send(told.clone());
        }
        match result {
            Err(error) => Written::Ended(error),
            Ok(_) if group.is_last => Written::Ended(Fatal::new("the write-ahead log is closed")),
            Ok(took) => {
                self.purge(group.purge_below);
                Written::Synced(took)
            }
        }
    }

    fn write_group(&mut self, ops: Vec<Op>, group: &mut Group) -> Result<Option<Duration>, Fatal> {
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
        if !group.needs_sync {
            return Ok(None);
        }
        if self.is_sync_off {
            return Ok(Some(Duration::ZERO));
        }
        let took = self.writer.sync().map_err(Fatal::new)?;
        self.observer.wal_synced(took);
        if let Some(last) = group.last {
            self.synced.reach(last);
        }
        if took > SYNC_SLOW {
            tracing::warn!(took = ?took, "slow fdatasync");
        }
        Ok(Some(took))
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
                    let (term, index) = (entry.log_id.leader_id.term, entry.log_id.index);
                    group.last = Some(LogPlace { term, index });
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
