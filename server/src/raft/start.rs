//! Start of a member: the log is opened, what is committed is applied again, then openraft runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use openraft::async_runtime::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use quorate_etcd_files::disk::Disk;
use quorate_etcd_files::wal::Options;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::addresses::Addresses;
use super::apply::{self, Progress};
use super::config::{Observer, PROPOSE_QUEUE, READ_QUEUE, RaftConfig};
use super::core::Core;
use super::core::{Setback, SetbackSink};
use super::error::Fatal;
use super::handle::{Raft, Shared};
use super::inbound::{Inbound, IsRemoved, remove_left_overs};
use super::leader::{Heard, LeaderInfo, LeaderWatch, Role};
use super::leading::{Leading, Refusal};
use super::log::{self, LogIdentity, LogStore, LogSurroundings, Opened};
use super::machine::Machine;
use super::membership::Membership;
use super::network::Network;
use super::reach;
use super::read;
use super::relay::{Relay, RelayAnswers, RelayItem};
use super::transport::{PeerError, SharedTransport};
use super::waiters::{Notice, RequestIds, Waiters};
use crate::storage::SyncedLog;

/// What a member needs of its surroundings.
pub struct Surroundings {
    /// The way to the peers.
    pub transport: SharedTransport,
    /// Where the log and received snapshots are.
    pub disk: Arc<dyn Disk>,
    /// Hears what is measured.
    pub observer: Arc<dyn Observer>,
    /// Tells whether a member has been removed, so that it can be told.
    pub is_removed: IsRemoved,
    /// How far the log was on disk when the state was last, and where that is noted.
    pub synced_log: Arc<SyncedLog>,
}

impl<O: Send + 'static> Raft<O> {
    /// Starts a member on a bootstrapped log, or on one that has been running. Returns once all that is known to be
    /// committed is applied; a leader need not be known yet.
    ///
    /// # Errors
    /// The log is damaged, another member's, or does not fit the machine's state.
    pub async fn start<M: Machine<Outcome = O>>(
        config: RaftConfig,
        machine: M,
        surroundings: Surroundings,
    ) -> Result<Raft<O>, Fatal> {
        remove_left_overs(surroundings.disk.as_ref(), &config.snap_dir)
            .map_err(|error| Fatal::new(format_args!("{}: {error}", config.snap_dir.display())))?;
        let addresses = Arc::new(Addresses::new(surroundings.transport.clone()));
        let founded = found(&config, machine, &surroundings, &addresses).await?;
        let Founded { core, log, progress, waiters, removed, threads } = founded;
        let Surroundings { transport, disk, observer, is_removed, .. } = surroundings;
        if !config.initial_election_tick_advance {
            let (core, election) = (core.clone(), config.election);
            tokio::spawn(async move {
                tokio::time::sleep(election).await;
                core.runtime_config().elect(true);
            });
        }
        let heard = Arc::new(Heard::default());
        let forward = Arc::new(OnceLock::new());
        let leading = Arc::new(Leading {
            core: core.clone(),
            progress: progress.clone(),
            change: Default::default(),
        });
        let handler = Arc::new(Inbound {
            core: core.clone(),
            heard: heard.clone(),
            leading: leading.clone(),
            is_removed,
            forward: forward.clone(),
            disk,
            snap_dir: config.snap_dir.clone(),
            observer: observer.clone(),
            progress: progress.clone(),
        });
        let leader_info = watch::Sender::new(LeaderInfo::default());
        let (relay, relay_items) = mpsc::channel(PROPOSE_QUEUE);
        let (reads, read_waiters) = mpsc::channel(READ_QUEUE);
        let shared = Arc::new(Shared {
            ids: RequestIds::new(config.member_id),
            core,
            log,
            waiters,
            progress,
            transport,
            leader: leader_info.subscribe(),
            leading,
            relay,
            reads,
            observer,
            handler,
            forward,
            removed,
            stopping: CancellationToken::new(),
            threads: parking_lot::Mutex::new(threads),
            config,
        });
        let tasks = Tasks { heard, leader_info, relay_items, read_waiters, addresses };
        tasks.spawn(&shared);
        Ok(Raft { shared })
    }
}

/// What stands before the handle does: the log, the machine and openraft, running.
struct Founded<O> {
    core: Core,
    log: LogStore,
    progress: Arc<Progress>,
    waiters: Arc<Waiters<O>>,
    removed: watch::Sender<bool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

async fn found<M: Machine>(
    config: &RaftConfig,
    machine: M,
    surroundings: &Surroundings,
    addresses: &Arc<Addresses>,
) -> Result<Founded<M::Outcome>, Fatal> {
    let Surroundings { transport, observer, .. } = surroundings;
    let opened = open_log(config, &machine, addresses, surroundings).await?;
    let Opened { store: log, thread: writer_thread, applied, newest } = opened;
    addresses.applied(&applied.membership.membership);
    addresses.seen(&newest);
    let progress = Arc::new(Progress::new(&applied));
    let waiters = Arc::new(Waiters::new());
    let started = Arc::new(AtomicBool::new(false));
    let (door, apply_thread) =
        apply::start(machine, waiters.clone(), progress.clone(), log.clone(), started.clone())?;
    let removed = watch::Sender::new(false);
    let network = Network {
        transport: transport.clone(),
        observer: observer.clone(),
        removed: removed.clone(),
        acknowledged: BTreeMap::new(),
    };
    let is_alone = newest.counting().eq([config.member_id]);
    let core_config = Arc::new(core_config(config, is_alone).validate().map_err(Fatal::new)?);
    let core = Core::new(config.member_id, core_config, network, log.clone(), door).await;
    let core = core.map_err(|error| first_cause(&progress, &log, &unfit(config, &error)))?;
    started.store(true, Ordering::Release);
    let threads = vec![writer_thread, apply_thread];
    Ok(Founded { core, log, progress, waiters, removed, threads })
}

async fn open_log<M: Machine>(
    config: &RaftConfig,
    machine: &M,
    addresses: &Arc<Addresses>,
    surroundings: &Surroundings,
) -> Result<Opened, Fatal> {
    let identity = LogIdentity {
        dir: config.wal_dir.clone(),
        member_id: config.member_id,
        cluster_id: config.cluster_id,
        catchup_entries: config.snapshot_catchup_entries,
        segments_kept: config.max_wals,
        is_sync_off: config.unsafe_no_fsync,
        options: Options::default(),
    };
    let applied = machine.applied();
    let addresses = addresses.clone();
    let around = LogSurroundings {
        disk: surroundings.disk.clone(),
        seen: Arc::new(move |membership: &Membership| addresses.seen(membership)),
        observer: surroundings.observer.clone(),
        synced: surroundings.synced_log.clone(),
    };
    let open = move || log::open(&identity, applied, around);
    tokio::task::spawn_blocking(open).await.map_err(Fatal::new)?
}

/// openraft starts on any log and state that belong together.
fn unfit(config: &RaftConfig, error: &dyn std::fmt::Display) -> String {
    format!(
        "the log in {} does not fit the state in {}: {error}. Put back the directories that belong together, or \
         restore a snapshot into a new one.",
        config.wal_dir.display(),
        config.snap_dir.display()
    )
}

/// The error that came first: openraft only knows that something failed.
fn first_cause(progress: &Progress, log: &LogStore, error: &dyn std::fmt::Display) -> Fatal {
    let from_machine = progress.fatal.borrow().clone();
    from_machine.or_else(|| log.fatal().borrow().clone()).unwrap_or_else(|| Fatal::new(error))
}

/// openraft's settings for etcd's.
///
/// openraft's election timeout begins after a lease of `election_timeout_max`: with 0.7 and 0.35 of etcd's timeout a
/// follower campaigns 1.05 to 1.4 timeouts after it last heard the leader (etcd: 1 to 2). Its heartbeat interval is
/// also the time it waits for an answer, so it is long, and [`LeaderWatch`] sends heartbeats at etcd's interval.
pub(super) fn core_config(config: &RaftConfig, is_alone: bool) -> Config {
    let election = (config.election.as_millis() as u64).max(20);
    let minimum = election * 35 / 100;
    Config {
        cluster_name: format!("{:x}", config.cluster_id),
        election_timeout_min: minimum,
        election_timeout_max: (election * 7 / 10).max(minimum + 1),
        heartbeat_interval: minimum - 1,
        heartbeat_min_interval: Some(0),
        install_snapshot_timeout: Duration::from_secs(3600).as_millis() as u64,
        max_payload_entries: 4096,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_count.max(1)),
        max_in_snapshot_log_to_keep: config.snapshot_catchup_entries,
        purge_batch_size: 1,
        // A follower that has lost its log ends by itself ([`super::acknowledged`]); the leader must not end with it.
        allow_log_reversion: Some(true),
        // Switched on after a first election timeout where nothing may shorten that. A lone voter has nobody to wait
        // for, with etcd too.
        enable_elect: config.initial_election_tick_advance || is_alone,
        enable_pre_vote: Some(config.pre_vote),
        enable_leader_restore: Some(false),
        backoff: "20ms 50ms 100ms 200ms ...500ms".to_owned(),
        ..Config::default()
    }
}

/// What the background tasks own.
struct Tasks {
    heard: Arc<Heard>,
    leader_info: watch::Sender<LeaderInfo>,
    relay_items: mpsc::Receiver<RelayItem>,
    read_waiters: mpsc::Receiver<read::ReadWaiter>,
    addresses: Arc<Addresses>,
}

impl Tasks {
    fn spawn<O: Send + 'static>(self, shared: &Arc<Shared<O>>) {
        let config = &shared.config;
        let answers = Arc::new(RelayHears {
            waiters: shared.waiters.clone(),
            removed: shared.removed.clone(),
        });
        let relay = Relay {
            member_id: config.member_id,
            transport: shared.transport.clone(),
            leader: self.leader_info.subscribe(),
            answers,
            patience: config.request_timeout(),
        };
        let leader_watch = LeaderWatch {
            core: shared.core.clone(),
            member_id: config.member_id,
            heard: self.heard,
            heartbeat: config.heartbeat,
            election: config.election,
            info: self.leader_info,
        };
        let stop = || shared.stopping.clone().cancelled_owned();
        spawn_until(stop(), leader_watch.run());
        spawn_until(stop(), relay.run(self.relay_items));
        spawn_until(stop(), read::collect(shared.clone(), self.read_waiters));
        spawn_until(stop(), watch_membership(shared.clone(), self.addresses));
        spawn_until(stop(), watch_removal(shared.clone()));
        spawn_until(stop(), watch_fatal(shared.clone()));
        spawn_until(stop(), welcome_joining(shared.clone()));
        spawn_until(stop(), reach::watch(Raft { shared: shared.clone() }));
    }
}

fn spawn_until(
    stop: impl Future<Output = ()> + Send + 'static,
    task: impl Future<Output = ()> + Send + 'static,
) {
    tokio::spawn(async move {
        tokio::select! {
            () = stop => {}
            () = task => {}
        }
    });
}

/// Tells the transport of memberships as they are applied.
async fn watch_membership<O>(shared: Arc<Shared<O>>, addresses: Arc<Addresses>) {
    let mut membership = shared.progress.membership.subscribe();
    loop {
        let stored = membership.borrow_and_update().clone();
        addresses.applied(&stored.membership);
        if membership.changed().await.is_err() {
            return;
        }
    }
}

/// Passes on what the transport was told about this member.
async fn watch_removal<O>(shared: Arc<Shared<O>>) {
    let mut told = shared.transport.told_removed();
    if told.wait_for(|removed| *removed).await.is_ok() {
        shared.removed.send_replace(true);
    }
    std::future::pending::<()>().await;
}

/// Brings errors of the log and of openraft to where the node looks for them. openraft's metrics change with every
/// entry, so they are looked at from time to time; an error of the log itself is told at once.
async fn watch_fatal<O>(shared: Arc<Shared<O>>) {
    let mut log = shared.log.fatal();
    let mut metrics = shared.core.metrics();
    let mut looks = tokio::time::interval(shared.config.heartbeat);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = log.changed() => {}
            _ = looks.tick() => {}
        }
        if let Some(fatal) = log.borrow_and_update().clone() {
            shared.progress.fail(&fatal);
            return;
        }
        let running = metrics.borrow_watched().running_state.clone();
        if let Err(error) = running {
            if !shared.stopping.is_cancelled() {
                shared.progress.fail(&Fatal::new(error));
            }
            return;
        }
        // A core that broke off has not said so: its metrics are gone with it.
        let is_gone = metrics.changed().now_or_never();
        if is_gone.is_some_and(|changed| changed.is_err()) {
            if !shared.stopping.is_cancelled() {
                let text = "raft broke off; the panic before this says where. Restart the member. If it happens \
                            again, its log and state do not belong together: remove it from the cluster and add it \
                            again with an empty directory";
                shared.progress.fail(&Fatal::new(text));
            }
            return;
        }
    }
}

/// On the leader: lets voters count that have caught up.
async fn welcome_joining<O>(shared: Arc<Shared<O>>) {
    let mut ticks = tokio::time::interval(shared.config.heartbeat);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if shared.leader.borrow().role != Role::Leader {
            continue;
        }
        match shared.leading.welcome().await {
            Ok(()) | Err(Refusal::NotNow | Refusal::Unknown) => {}
            Err(Refusal::Invalid(reason)) => {
                tracing::debug!(reason, "a joining voter cannot be counted yet");
            }
            Err(Refusal::Stopped) => return,
        }
    }
}

/// What the relay's answers mean for this member's callers.
struct RelayHears<O> {
    waiters: Arc<Waiters<O>>,
    removed: watch::Sender<bool>,
}

impl<O: Send + 'static> RelayAnswers for RelayHears<O> {
    fn setback(&self, request_id: u64, setback: Setback) {
        self.waiters.setback(request_id, setback);
    }

    fn refused(&self, request_id: u64, reason: String) {
        self.waiters.tell(request_id, Notice::Refused(reason));
    }

    fn peer_error(&self, error: &PeerError) {
        if *error == PeerError::Removed {
            self.removed.send_if_modified(|removed| !std::mem::replace(removed, true));
        }
    }
}
