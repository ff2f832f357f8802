//! The life of a member: built bottom-up, doors opened last, stopped in reverse.

use super::background;
use super::data_dir::{self, DataDir};
use super::doors::{self, ClientPort, Tls};
use super::error::{Context as _, Result, refuse};
use super::force_new;
use super::forwarding::Forwarding;
use super::login;
use super::observer::{ApplyTimes, MetricsObserver, round_trips};
use super::peer_door;
use super::signals::{StopSignal, StopSignals};
use super::state::open_backend;
use super::stop::{Ended, end_of, finish_calls, hand_over};
use crate::api::{
    AnswerBudget, Bound, Context, Door, Forwarded, HttpOptions, Intake, Limits, LoginOptions,
    Shards, SharedContext,
};
use crate::apply::{Applier, Outcome, State};
use crate::auth::AuthStore;
use crate::clock::{SharedClock, SystemClock};
use crate::cluster::ClusterState;
use crate::config::Config;
use crate::metrics::{Metrics, RequestKind};
use crate::mvcc::watch::WatchThreads;
use crate::raft::grpc::{GrpcTransport, Identity, peer_service};
use crate::raft::{Fatal, Raft, RaftConfig, Surroundings};
use crate::storage::SyncedLog;
use crate::tasks::{
    AutoCompaction, COMPACTION_QUEUE, CompactorOptions, CorruptionCheck, Inconsistent,
    publish_attributes, spawn_compactor,
};
use crate::tls::Acceptor;
use crate::types::ETCD_VERSION;
use quorate_etcd_files::disk::OsDisk;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Large answers that are read at a time, per core.
const LARGE_READS_PER_CORE: usize = 1;
/// Time after which a removed member ends, so that its last answers get out.
const REMOVED_TIME: Duration = Duration::from_secs(1);

/// Runs a member until a signal, its removal from the cluster, or a fault ends it. Returns the signal.
///
/// # Errors
/// Whatever kept the member from starting or going on; the text says what to do.
pub fn run(config: Config) -> Result<Option<StopSignal>> {
    tracing::info!(args = ?std::env::args().collect::<Vec<_>>(), "Running: ");
    log_start(&config);
    // Raft, peers and background work. Clients are served by threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(raft_threads())
        .thread_name("raft")
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let outcome = runtime.block_on(run_member(config));
    // Nothing that is left may keep a stopping process up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Raft's work is one pipeline: more threads than two only wake each other.
fn raft_threads() -> usize {
    if cores() > 2 { 2 } else { 1 }
}

/// Logins must not starve what they are for.
fn password_threads() -> usize {
    cores().saturating_sub(1).max(1)
}

fn log_start(config: &Config) {
    let cluster: Vec<String> = config
        .initial_cluster
        .iter()
        .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")))
        .collect();
    let gates: Vec<String> =
        config.feature_gates.all().map(|(name, _, is_on)| format!("{name}={is_on}")).collect();
    tracing::info!(
        etcd_version = ETCD_VERSION,
        name = config.name,
        data_dir = %config.data_dir.display(),
        snapshot_count = config.snapshot_count,
        snapshot_catchup_entries = config.snapshot_catchup_entries,
        quota_backend_bytes = config.quota_bytes,
        initial_cluster = cluster.join(","),
        initial_cluster_state = if config.initial_cluster_is_new { "new" } else { "existing" },
        initial_cluster_token = config.initial_cluster_token,
        auto_compaction_mode = config.auto_compaction_mode,
        feature_gates = gates.join(","),
        storage_engine = config.storage_engine,
        v2_deprecation = "write-only",
        "starting an etcd server"
    );
    for gate in config.feature_gates.without_effect() {
        tracing::warn!(gate, "this feature gate has no effect in Quorate");
    }
    if config.name == "default" {
        tracing::warn!(
            "'default' is the name of this member; give every member a name of its own with --name"
        );
    }
    if config.unsafe_no_fsync {
        tracing::warn!("--unsafe-no-fsync: acknowledged writes are lost with the machine");
    }
}

/// What runs of a member once its state is open.
struct Member {
    config: Config,
    data_dir: DataDir,
    raft: Raft<Outcome>,
    state: Arc<State>,
    metrics: Metrics,
    /// Turns true when no more calls are taken.
    closing: watch::Sender<bool>,
    /// Turns true when the calls that are left end without an answer.
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    fatal: watch::Receiver<Option<Fatal>>,
    forwarded: Forwarded,
    compacted: watch::Receiver<i64>,
    watch_threads: WatchKeeper,
    login: LoginOptions,
}

async fn run_member(config: Config) -> Result<Option<StopSignal>> {
    let mut signals = StopSignals::new().context("failed to take over signals")?;
    // Ports first: a port in use must leave the data directory untouched.
    let connections_max = doors::connections_max()?;
    let metrics = Metrics::new(config.metrics_extensive);
    metrics.server.show_features(config.feature_gates.all());
    let tls = Tls::open(&config, &metrics)?;
    let peer_sockets = doors::bind_peer_ports(&config, &tls)?;
    let client_ports = doors::bind_client_ports(&config, &tls)?;
    let mut member = tokio::select! {
        member = start(config, peer_sockets, &tls, metrics) => member?,
        signal = signals.next() => {
            tracing::info!(%signal, "received signal; shutting down");
            return Ok(Some(signal));
        }
    };
    let context = member.context();
    let door = Door::new(context.clone()).context("failed to make the JSON gateway")?;
    let shards = Shards::start(
        &doors::serve_options(&member.config, connections_max),
        &member.closing.subscribe(),
    )
    .context("failed to start the serving threads")?;
    let shards = Arc::new(shards);
    background::spawn_asking(&mut member.tasks, &member.config, &context);
    let (early_ports, client_ports): (Vec<_>, Vec<_>) =
        client_ports.into_iter().partition(ClientPort::opens_early);
    member.open(&shards, &door, early_ports);
    let ready = member.get_ready();
    let fatal = member.fatal.clone();
    let ended = tokio::select! {
        checked = ready => checked.err().map(|error| Ended::Fatal(Fatal::new(error))),
        ended = end_of(&member.raft, &context, fatal.clone(), &mut signals) => Some(ended),
    };
    if let Some(ended) = ended {
        return member.stop(shards, ended).await;
    }
    member.open(&shards, &door, client_ports);
    tracing::info!("ready to serve client requests");
    super::systemd::notify_ready();
    let (raft, fault) = (member.raft.clone(), fatal.clone());
    member.tasks.spawn(super::systemd::keep_watchdog(async move || {
        // A blocked runtime does not get here, and a member with a fault is about to end.
        raft.wait_applied(raft.applied_index()).await && fault.borrow().is_none()
    }));
    let ended = end_of(&member.raft, &context, fatal, &mut signals).await;
    member.stop(shards, ended).await
}

async fn start(
    config: Config,
    peer_sockets: Vec<(Bound, Acceptor)>,
    tls: &Tls,
    metrics: Metrics,
) -> Result<Member> {
    let retention =
        AutoCompaction::parse(&config.auto_compaction_mode, &config.auto_compaction_retention)
            .context("invalid flags")?;
    let login = login::options(&config, SystemClock::shared())?;
    let data_dir = data_dir::open(&config, &tls.dialer()).await?;
    // Reading the log may take long. Peers that call meanwhile wait, as with etcd, and need not be told to call again.
    let peer_listeners = doors::listen_all(peer_sockets)?;
    let backend = open_backend(&config, &data_dir.snap_dir, &metrics)?;
    let cluster = Arc::new(ClusterState::new(data_dir.cluster_id, data_dir.member_id));
    let clock = SystemClock::shared();
    let (compactions, compaction_queue) = std::sync::mpsc::sync_channel(COMPACTION_QUEUE);
    let auth = Arc::new(AuthStore::new(clock.clone(), config.auth_token_ttl));
    let mut applier =
        Applier::open(backend.clone(), cluster.clone(), auth, clock.clone(), compactions)
            .context("failed to read the state")?;
    applier.observe(Box::new(ApplyTimes::new(metrics.clone(), config.warning_apply_duration)));
    let state = applier.state().clone();
    if config.force_new_cluster {
        force_new::remove_others(&data_dir.wal_dir, &cluster, &config.initial_advertise_peer_urls)?;
    }
    let (stop, stopping) = watch::channel(false);
    let (compacted_sender, compacted) = watch::channel(state.store().compact_revision());
    let (fatal_sender, fatal) = watch::channel(None);
    let options = compactor_options(&config, &metrics, clock);
    spawn_compactor(compaction_queue, options, compacted_sender, fatal_sender.clone(), stopping)
        .context("failed to start the compactor")?;
    let identity = Identity { cluster_id: data_dir.cluster_id, member_id: data_dir.member_id };
    let dialer = Arc::new(tls.dialer());
    let transport = GrpcTransport::new(identity, dialer, config.heartbeat, config.election);
    transport.hear_round_trips(round_trips(&metrics));
    let watch_threads = WatchKeeper::start(&state).context("failed to start watches")?;
    let around = surroundings(&config, transport.clone(), &cluster, &metrics, backend.synced_log());
    let raft = Raft::start(raft_config(&config, &data_dir), applier, around)
        .await
        .context("failed to start raft")?;
    let forwarded = Forwarded::default();
    let answers = Forwarding { calls: forwarded.clone(), state: state.clone() };
    raft.set_forward_handler(Arc::new(answers));
    let mut tasks = JoinSet::new();
    let service = peer_service(identity, raft.peer_handler(), transport);
    peer_door::open(&mut tasks, peer_listeners, service, &cluster);
    for keeper in [&tls.client, &tls.peer].into_iter().flatten() {
        tasks.spawn(keeper.clone().watch_files());
    }
    tasks.spawn(watch_fatal(raft.fatal(), backend.fatal(), fatal_sender));
    background::spawn(&mut tasks, &config, retention, &raft, &state, &metrics);
    Ok(Member {
        config,
        data_dir,
        raft,
        state,
        metrics,
        closing: watch::Sender::new(false),
        stop,
        tasks,
        fatal,
        forwarded,
        compacted,
        watch_threads,
        login,
    })
}

fn compactor_options(config: &Config, metrics: &Metrics, clock: SharedClock) -> CompactorOptions {
    CompactorOptions {
        batch_limit: NonZeroUsize::new(config.compaction_batch_limit).unwrap_or(NonZeroUsize::MIN),
        pause: config.compaction_sleep_interval,
        metrics: metrics.store.clone(),
        clock,
    }
}

/// Raft's way to other members and to the disk.
fn surroundings(
    config: &Config,
    transport: GrpcTransport,
    cluster: &Arc<ClusterState>,
    metrics: &Metrics,
    synced_log: Arc<SyncedLog>,
) -> Surroundings {
    let removed = cluster.clone();
    let observer = MetricsObserver { metrics: metrics.clone(), heartbeat: config.heartbeat };
    Surroundings {
        transport: Arc::new(transport),
        disk: Arc::new(OsDisk),
        observer: Arc::new(observer),
        is_removed: Arc::new(move |id| removed.is_removed(id)),
        synced_log,
    }
}

fn raft_config(config: &Config, data_dir: &DataDir) -> RaftConfig {
    RaftConfig {
        member_id: data_dir.member_id,
        cluster_id: data_dir.cluster_id,
        heartbeat: config.heartbeat,
        election: config.election,
        initial_election_tick_advance: config.initial_election_tick_advance,
        pre_vote: config.pre_vote,
        snapshot_count: config.snapshot_count,
        snapshot_catchup_entries: config.snapshot_catchup_entries,
        max_wals: config.wals_max,
        wal_dir: data_dir.wal_dir.clone(),
        snap_dir: data_dir.snap_dir.clone(),
        max_request_bytes: config.request_bytes_max,
        unsafe_no_fsync: config.unsafe_no_fsync,
    }
}

/// Brings the faults of raft and of the state to one place.
async fn watch_fatal(
    mut raft: watch::Receiver<Option<Fatal>>,
    mut backend: watch::Receiver<Option<crate::storage::StorageError>>,
    to: watch::Sender<Option<Fatal>>,
) {
    let fault = tokio::select! {
        Ok(fault) = raft.wait_for(Option::is_some) => fault.clone(),
        Ok(fault) = backend.wait_for(Option::is_some) => fault.as_ref().map(Fatal::new),
        else => None,
    };
    if fault.is_some() {
        to.send_replace(fault);
    }
}

/// Keeps the threads of the watch hub running, on the new store when a snapshot replaces the old one.
struct WatchKeeper {
    task: tokio::task::JoinHandle<()>,
}

impl WatchKeeper {
    fn start(state: &Arc<State>) -> std::io::Result<WatchKeeper> {
        let mut generation = state.generation();
        let mut threads = WatchThreads::spawn(&state.store())?;
        let state = state.clone();
        let task = tokio::spawn(async move {
            while generation.changed().await.is_ok() {
                match WatchThreads::spawn(&state.store()) {
                    Ok(new) => threads = new,
                    Err(error) => {
                        tracing::error!(%error, "no threads for watches; restart this member")
                    }
                }
            }
            drop(threads);
        });
        Ok(WatchKeeper { task })
    }
}

impl Member {
    fn context(&self) -> SharedContext {
        let config = &self.config;
        let context: SharedContext = Arc::new(Context {
            raft: self.raft.clone(),
            state: self.state.clone(),
            limits: Limits {
                txn_ops_max: config.txn_ops_max,
                request_bytes_max: config.request_bytes_max,
                quota_bytes: config.quota_bytes,
                lease_ttl_min: config.lease_ttl_min(),
                concurrent_streams_max: config.concurrent_streams_max,
                learners_max: config.learners_max,
                strict_reconfig_check: config.strict_reconfig_check,
                slow_apply: config.warning_apply_duration,
                slow_call: config.warning_unary_request_duration,
                progress_interval: config.watch_progress_notify_interval,
                election: config.election,
                request_timeout: config.request_timeout(),
                stops_service_on_defrag: config.feature_gates.is_on("StopGRPCServiceOnDefrag"),
            },
            answers: AnswerBudget::new(
                config.defence.answer_bytes_max,
                LARGE_READS_PER_CORE * cores(),
                config.request_timeout(),
            ),
            intake: Intake::new(config.defence.request_bytes_max),
            login: self.login.clone(),
            passwords: login::passwords(config, password_threads()),
            http: HttpOptions {
                has_gateway: config.http.enable_grpc_gateway,
                cors: config.http.cors.clone(),
                host_whitelist: config.http.host_whitelist.clone(),
            },
            metrics: self.metrics.clone(),
            clock: SystemClock::shared(),
            stop: self.stop.subscribe(),
            compacted: self.compacted.clone(),
        });
        self.forwarded.open(context.clone());
        context
    }

    /// Resolves once the member has joined: there is a leader, its own attributes are committed and applied, and its
    /// data is that of the others.
    fn get_ready(&self) -> impl Future<Output = std::result::Result<(), Inconsistent>> + use<> {
        let raft = self.raft.clone();
        let (id, name) = (self.data_dir.member_id, self.config.name.clone());
        let urls: Vec<String> =
            self.config.advertise_client_urls.iter().map(ToString::to_string).collect();
        let defence = self.config.defence.clone();
        let check = CorruptionCheck { raft: raft.clone(), state: self.state.clone() };
        let times = self.metrics.server.request_times.clone();
        async move {
            let checked = async {
                match defence.checks_at_start {
                    true => check.at_start(defence.is_strict_at_start).await,
                    false => Ok(()),
                }
            };
            let published = async {
                let started = Instant::now();
                publish_attributes(&raft, id, &name, &urls).await;
                times.observe(RequestKind::ClusterMemberAttrSet, true, started.elapsed());
            };
            tokio::join!(published, checked).1
        }
    }

    /// Serves the ports from now on.
    fn open(&mut self, shards: &Arc<Shards>, door: &Door, ports: Vec<ClientPort>) {
        for port in ports {
            let (listener, opening) = port.open(door);
            let (shards, closing) = (shards.clone(), self.closing.subscribe());
            self.tasks.spawn(async move { shards.accept(listener, opening, closing).await });
        }
    }

    /// Hands leadership over, closes the doors, stops raft, makes the state durable.
    async fn stop(mut self, shards: Arc<Shards>, ended: Ended) -> Result<Option<StopSignal>> {
        let (fault, signal) = match ended {
            Ended::Signal(signal) => {
                tracing::info!(%signal, "received signal; shutting down");
                hand_over(&self.raft).await;
                (None, Some(signal))
            }
            Ended::Removed => {
                tracing::warn!(
                    "this member has been removed from the cluster; its data directory must not be reused"
                );
                tokio::time::sleep(REMOVED_TIME).await;
                (None, None)
            }
            Ended::Fatal(fault) => (Some(fault), None),
        };
        super::systemd::notify_stopping();
        tracing::info!(name = self.config.name, "closing etcd server");
        self.closing.send_replace(true);
        if fault.is_none() {
            finish_calls(&self.raft).await;
        }
        self.stop.send_replace(true);
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        self.raft.shutdown().await;
        let threads =
            tokio::task::spawn_blocking(move || Arc::into_inner(shards).map(Shards::join));
        threads.await.context("serving threads")?;
        self.watch_threads.task.abort();
        let backend = self.state.backend.clone();
        if let Some(fault) = fault {
            refuse!("{fault}");
        }
        tokio::task::spawn_blocking(move || backend.close())
            .await
            .context("failed to close the state")?
            .context("failed to close the state")?;
        tracing::info!(name = self.config.name, "closed etcd server");
        Ok(signal)
    }
}
