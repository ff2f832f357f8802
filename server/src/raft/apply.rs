//! The apply thread, and openraft's state machine in front of it. What entries do is the [`Machine`]'s part.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::RaftSnapshotBuilder;
use openraft::storage::{EntryResponder, RaftStateMachine};
use parking_lot::Mutex;
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
/// Plain puts that are not worth waking the apply thread for.
const LIGHT_MAX: usize = 4;

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

/// The machine and whom to tell, behind the lock of whoever applies at the moment: the apply thread, or [`MachineDoor`]
/// for the least of work.
struct Seat<M: Machine> {
    machine: M,
    waiters: Arc<Waiters<M::Outcome>>,
    progress: Arc<Progress>,
    has_failed: bool,
}

/// A seat whose machine's kind does not matter.
trait Perform: Send {
    /// Performs a task. After the first failure nothing is performed any more.
    fn perform(&mut self, task: Task) -> Result<(), Fatal>;
    /// Applies entries where that does not wait for anything; `None` where it might.
    fn apply_now(&mut self, entries: &[Entry]) -> Option<Result<(), Fatal>>;
}

/// The apply thread: performs tasks in order and ends with the first failure.
fn run(seat: &Mutex<dyn Perform>, mut tasks: mpsc::Receiver<Task>) {
    while let Some(task) = tasks.blocking_recv() {
        // Whoever waits for a failed task sees its sender gone and finds the reason in the progress.
        if seat.lock().perform(task).is_err() {
            return;
        }
    }
}

/// Hands a result to whoever waits for it. Of an error they see only that the sender is gone: its reason is in the progress
/// by then.
fn answer<T>(done: oneshot::Sender<T>, result: Result<T, Fatal>) -> Result<(), Fatal> {
    // openraft may be shutting down.
    let _ = done.send(result?);
    Ok(())
}

impl<M: Machine> Perform for Seat<M> {
    fn perform(&mut self, task: Task) -> Result<(), Fatal> {
        match task {
            Task::Apply(entries, done) => {
                answer(done, self.unless_failed(|seat| seat.apply(&entries)))
            }
            Task::Snapshot(done) => {
                answer(done, self.unless_failed(|seat| seat.machine.snapshot()))
            }
            Task::Install { state, file, done } => {
                answer(done, self.unless_failed(|seat| seat.install(state, &file)))
            }
        }
    }

    fn apply_now(&mut self, entries: &[Entry]) -> Option<Result<(), Fatal>> {
        let is_ready = !self.has_failed && self.machine.is_ready();
        is_ready.then(|| self.unless_failed(|seat| seat.apply(entries)))
    }
}

impl<M: Machine> Seat<M> {
    fn unless_failed<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fatal>,
    ) -> Result<T, Fatal> {
        if self.has_failed {
            return Err(Fatal::new("an earlier entry could not be applied"));
        }
        work(self).inspect_err(|error| {
            tracing::error!(%error, "cannot apply the log");
            self.has_failed = true;
            self.progress.fail(error);
        })
    }

    fn install(&mut self, state: AppliedState, file: &Path) -> Result<(), Fatal> {
        self.machine.install(&state, file)?;
        self.progress.membership.send_replace(Arc::new(state.membership));
        self.progress.applied.send_replace(state.mark);
        Ok(())
    }

    fn apply(&mut self, entries: &[Entry]) -> Result<(), Fatal> {
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

/// openraft's state machine: hands everything to the apply thread, but for a few plain puts. Applying one takes some
/// 5 µs, while waking the thread and being woken by it takes ten times that, which a lone client would wait for.
pub(super) struct MachineDoor {
    tasks: mpsc::Sender<Task>,
    seat: Arc<Mutex<dyn Perform>>,
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
    let seat = Seat { machine, waiters, progress: progress.clone(), has_failed: false };
    let seat: Arc<Mutex<dyn Perform>> = Arc::new(Mutex::new(seat));
    let threads_seat = seat.clone();
    let thread = std::thread::Builder::new()
        .name("apply".to_owned())
        .spawn(move || run(&*threads_seat, receiver))
        .map_err(|error| Fatal::new(format_args!("start the apply thread: {error}")))?;
    Ok((MachineDoor { tasks, seat, progress, durable, log, at_start, started }, thread))
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

    /// Applies on this thread if neither the apply thread nor the disk is in the way.
    fn apply_here(&self, entries: &[Entry]) -> Option<io::Result<()>> {
        // Tasks are awaited one by one, so the thread is idle and entries stay in their order.
        let result = self.seat.try_lock()?.apply_now(entries)?;
        Some(result.map_err(|_| self.reason()))
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

/// Whether entries are so few and simple that they change memory and read no disk.
fn is_light(entries: &[Entry]) -> bool {
    let is_light = |entry: &Entry| match &entry.payload {
        EntryData::Command(command) => command.is_plain_put(),
        EntryData::Blank | EntryData::Change(_) => false,
    };
    entries.len() <= LIGHT_MAX && entries.iter().all(is_light)
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
        if last.is_none()
            && is_light(&group)
            && let Some(done) = self.apply_here(&group)
        {
            return done;
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
