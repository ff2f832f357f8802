//! The apply thread, and openraft's state machine in front of it. What entries do is the [`Machine`]'s part.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::RaftSnapshotBuilder;
use openraft::storage::{EntryResponder, RaftStateMachine};
use tokio::sync::{mpsc, oneshot, watch};

use super::config::APPLY_MAX;
use super::core::{
    CoreSnapshot, CoreSnapshotMeta, CoreStoredMembership, Entry, EntryData, LogId, TypeConfig,
    core_stored_membership, log_id, mark,
};
use super::error::Fatal;
use super::log::LogStore;
use super::machine::{
    AppliedState, CommittedEntry, CommittedPayload, Machine, MembershipChange, SnapshotSource,
};
use super::membership::StoredMembership;
use super::waiters::{Notice, Waiters};
use crate::storage::AppliedMark;

/// Groups of entries that wait for the apply thread.
const TASKS: usize = 4;

/// How far this member has applied, for everyone who wants to know.
pub(super) struct Progress {
    pub(super) applied: watch::Sender<AppliedMark>,
    pub(super) membership: watch::Sender<Arc<StoredMembership>>,
    pub(super) fatal: watch::Sender<Option<Fatal>>,
}

impl Progress {
    pub(super) fn new(state: &AppliedState) -> Progress {
        Progress {
            applied: watch::Sender::new(state.mark.clone()),
            membership: watch::Sender::new(Arc::new(state.membership.clone())),
            fatal: watch::Sender::new(None),
        }
    }

    /// The applied state.
    pub(super) fn state(&self) -> AppliedState {
        let membership = self.membership.borrow().as_ref().clone();
        AppliedState { mark: self.applied.borrow().clone(), membership }
    }

    /// Notes the first fatal error.
    pub(super) fn fail(&self, error: &Fatal) {
        self.fatal.send_if_modified(|fatal| {
            let is_first = fatal.is_none();
            fatal.get_or_insert_with(|| error.clone());
            is_first
        });
    }
}

enum Task {
    Apply(Vec<Entry>, oneshot::Sender<()>),
    Snapshot(oneshot::Sender<SnapshotSource>),
    Install { state: AppliedState, file: PathBuf, done: oneshot::Sender<()> },
}

/// What the apply thread owns.
struct ApplyThread<M: Machine> {
    machine: M,
    waiters: Arc<Waiters<M::Outcome>>,
    progress: Arc<Progress>,
}

impl<M: Machine> ApplyThread<M> {
    fn run(mut self, mut tasks: mpsc::Receiver<Task>) {
        while let Some(task) = tasks.blocking_recv() {
            if let Err(error) = self.perform(task) {
                // Whoever waits for the task sees its sender gone and finds the reason here.
                tracing::error!(%error, "cannot apply the log");
                self.progress.fail(&error);
                return;
            }
        }
    }

    fn perform(&mut self, task: Task) -> Result<(), Fatal> {
        match task {
            Task::Apply(entries, done) => {
                self.apply(entries)?;
                // openraft may be shutting down.
                let _ = done.send(());
            }
            Task::Snapshot(done) => {
                let _ = done.send(self.machine.snapshot()?);
            }
            Task::Install { state, file, done } => {
                self.machine.install(&state, &file)?;
                self.progress.membership.send_replace(Arc::new(state.membership));
                self.progress.applied.send_replace(state.mark);
                let _ = done.send(());
            }
        }
        Ok(())
    }

    fn apply(&mut self, entries: Vec<Entry>) -> Result<(), Fatal> {
        let has_waiters = self.waiters.count() > 0;
        let committed = entries
            .iter()
            .map(|entry| self.committed(entry, has_waiters))
            .collect::<Result<Vec<_>, _>>()?;
        let outcomes = self.machine.apply(&committed)?;
        let Some(last) = committed.last() else { return Ok(()) };
        let changes = committed.iter().rev().find_map(|entry| match &entry.payload {
            CommittedPayload::Membership(change) => Some(change.after.clone()),
            CommittedPayload::Blank | CommittedPayload::Command(_) => None,
        });
        if let Some(membership) = changes {
            self.progress.membership.send_replace(Arc::new(membership));
        }
        self.progress.applied.send_replace(last.mark.clone());
        for applied in outcomes {
            self.waiters.tell(applied.request_id, Notice::Outcome(applied.outcome));
        }
        Ok(())
    }

    fn committed(&self, entry: &Entry, has_waiters: bool) -> Result<CommittedEntry, Fatal> {
        let mark = mark(&entry.log_id);
        let (payload, request_id) = match &entry.payload {
            EntryData::Blank => (CommittedPayload::Blank, 0),
            EntryData::Command(command) => {
                let request = command.take_request().map_err(|error| {
                    Fatal::new(format_args!("entry {} is no request: {error}", mark.index))
                })?;
                let header_id = request.header.as_ref().map_or(0, |header| header.id);
                let id = if header_id == 0 { request.id } else { header_id };
                (CommittedPayload::Command(request), id)
            }
            EntryData::Change(change) => {
                let after =
                    StoredMembership { mark: mark.clone(), membership: change.after.clone() };
                let change = change.change.clone();
                let id = change.id();
                (CommittedPayload::Membership(Box::new(MembershipChange { change, after })), id)
            }
        };
        let is_awaited = has_waiters && request_id != 0 && self.waiters.is_awaited(request_id);
        Ok(CommittedEntry { mark, payload, is_awaited })
    }
}

/// The image of a snapshot on its way through openraft.
pub(super) enum Image {
    /// Nothing but a mark: this member's own state is on disk up to there.
    Marker,
    /// Ready to be written out for a peer.
    Source(SnapshotSource),
    /// Received from a peer.
    File {
        /// The image, complete and synced.
        path: PathBuf,
        /// Who takes part at its mark, with peer URLs.
        membership: StoredMembership,
    },
}

/// openraft's state machine: hands everything to the apply thread.
pub(super) struct MachineDoor {
    tasks: mpsc::Sender<Task>,
    progress: Arc<Progress>,
    durable: watch::Receiver<Option<AppliedMark>>,
    log: LogStore,
    /// What was on disk at start; offered as the current snapshot until openraft has started.
    at_start: Option<AppliedState>,
    started: Arc<std::sync::atomic::AtomicBool>,
}

/// Starts the apply thread for a machine. The thread ends when the door is dropped.
///
/// # Errors
/// The system has no thread to give.
pub(super) fn start<M: Machine>(
    machine: M,
    waiters: Arc<Waiters<M::Outcome>>,
    progress: Arc<Progress>,
    log: LogStore,
    started: Arc<std::sync::atomic::AtomicBool>,
) -> Result<(MachineDoor, std::thread::JoinHandle<()>), Fatal> {
    let (tasks, receiver) = mpsc::channel(TASKS);
    let durable = machine.durable();
    let at_start = Some(progress.state());
    let thread = ApplyThread { machine, waiters, progress: progress.clone() };
    let thread = std::thread::Builder::new()
        .name("apply".to_owned())
        .spawn(move || thread.run(receiver))
        .map_err(|error| Fatal::new(format_args!("start the apply thread: {error}")))?;
    Ok((MachineDoor { tasks, progress, durable, log, at_start, started }, thread))
}

impl MachineDoor {
    async fn perform<T>(
        &self,
        task: impl FnOnce(oneshot::Sender<T>) -> Task,
    ) -> io::Result<oneshot::Receiver<T>> {
        let (done, result) = oneshot::channel();
        self.tasks.send(task(done)).await.map_err(|_| self.reason())?;
        Ok(result)
    }

    /// Why the apply thread is gone.
    fn reason(&self) -> io::Error {
        match self.progress.fatal.borrow().clone() {
            Some(fatal) => io::Error::other(fatal),
            None => io::Error::other("the apply thread has ended"),
        }
    }

    fn meta(state: &AppliedState) -> CoreSnapshotMeta {
        CoreSnapshotMeta {
            last_log_id: Some(log_id(&state.mark)),
            last_membership: core_stored_membership(&state.membership),
        }
    }
}

impl RaftStateMachine<TypeConfig> for MachineDoor {
    type SnapshotData = Image;
    type SnapshotBuilder = MarkerBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, CoreStoredMembership)> {
        let state = self.progress.state();
        Ok((Some(log_id(&state.mark)), core_stored_membership(&state.membership)))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut last = None;
        let mut group = Vec::new();
        while let Some(item) = entries.next().await {
            // The responder only hears of setbacks, and applying is none.
            group.push(item?.0);
            if group.len() == APPLY_MAX {
                let full = std::mem::take(&mut group);
                last = Some(self.perform(|done| Task::Apply(full, done)).await?);
            }
        }
        if !group.is_empty() {
            last = Some(self.perform(|done| Task::Apply(group, done)).await?);
        }
        // The thread works in order and ends at the first error: the last group stands for all.
        match last {
            Some(done) => done.await.map_err(|_| self.reason()),
            None => Ok(()),
        }
    }

    async fn get_snapshot_builder(&mut self) -> MarkerBuilder {
        MarkerBuilder {
            state: self.progress.state(),
            durable: self.durable.clone(),
            log: self.log.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &CoreSnapshotMeta, image: Image) -> io::Result<()> {
        let Image::File { path: file, membership } = image else {
            return Err(io::Error::other("only a received image can be installed"));
        };
        let last =
            meta.last_log_id.as_ref().ok_or_else(|| io::Error::other("an empty snapshot"))?;
        let state = AppliedState { mark: mark(last), membership };
        let done = self.perform(|done| Task::Install { state, file, done }).await?;
        done.await.map_err(|_| self.reason())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<CoreSnapshot<Image>>> {
        if !self.started.load(std::sync::atomic::Ordering::Acquire) {
            let state = self.at_start.clone().unwrap_or_default();
            return Ok(Some(CoreSnapshot { meta: Self::meta(&state), snapshot: Image::Marker }));
        }
        let source = self.perform(Task::Snapshot).await?.await.map_err(|_| self.reason())?;
        let meta = Self::meta(&source.state);
        Ok(Some(CoreSnapshot { meta, snapshot: Image::Source(source) }))
    }
}

/// "Builds" the snapshot that lets openraft purge its log: waits until the state is on disk up to a mark.
pub(super) struct MarkerBuilder {
    state: AppliedState,
    durable: watch::Receiver<Option<AppliedMark>>,
    log: LogStore,
}

impl RaftSnapshotBuilder<TypeConfig> for MarkerBuilder {
    type SnapshotData = Image;

    async fn build_snapshot(&mut self) -> io::Result<CoreSnapshot<Image>> {
        let index = self.state.mark.index;
        self.durable
            .wait_for(|durable| durable.as_ref().is_some_and(|mark| mark.index >= index))
            .await
            .map_err(|_| io::Error::other("the state's flusher has ended"))?;
        self.log.mark_snapshot(&self.state);
        let meta = MachineDoor::meta(&self.state);
        Ok(CoreSnapshot { meta, snapshot: Image::Marker })
    }
}
