//! Keeps asking every endpoint and publishes a [`ClusterSnapshot`] after each round.
//!
//! Every question to every endpoint is a task of its own with its own time limit, so a member that hangs delays nobody
//! else's figures. All tasks start a round together: indices of different members are then nearly of one instant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::assemble::assemble;
use super::history::LeaderHistory;
use super::memory::{EndpointMemory, Moment};
use super::observation::{Observation, ProbeError, Question};
use super::probe::Probe;
use super::{ClusterSnapshot, Health};
use crate::Config;

/// Observations that may wait for the collector; full means that the askers wait.
const OBSERVATIONS_MAX: usize = 256;

/// Commands that may wait for the collector.
const COMMANDS_MAX: usize = 16;

/// Members looked for beyond the endpoints given; etcd recommends seven at most.
const DISCOVERED_MAX: usize = 32;

/// How long a round may take before what is there gets published; a healthy round is complete earlier.
const ROUND_GRACE: Duration = Duration::from_millis(150);

/// Late answers are gathered this long before they are published.
const LATE_GRACE: Duration = Duration::from_millis(50);

/// What the collector watches, and how.
#[derive(Debug, Clone)]
pub struct CollectorOptions {
    /// How to connect, and the endpoints to begin with; the members' advertised URLs are added.
    pub config: Config,
    /// The time between rounds.
    pub interval: Duration,
    /// The limit of every single question.
    pub timeout: Duration,
}

/// A running collector. Dropping it stops all its tasks.
#[derive(Debug)]
pub struct Collector {
    snapshots: watch::Receiver<Arc<ClusterSnapshot>>,
    commands: mpsc::Sender<Command>,
    _task: JoinSet<()>,
}

#[derive(Debug)]
enum Command {
    Refresh,
    SetInterval(Duration),
    SetPaused(bool),
}

impl Collector {
    /// Starts asking. Needs a tokio runtime.
    pub fn start(options: CollectorOptions) -> Self {
        let (publish, snapshots) = watch::channel(Arc::new(ClusterSnapshot::empty()));
        let (commands, receive_commands) = mpsc::channel(COMMANDS_MAX);
        let mut task = JoinSet::new();
        task.spawn(Running::new(options, publish).run(receive_commands));
        Self { snapshots, commands, _task: task }
    }

    /// One round of questions to every member: the whole picture, or what is known of it when `limit` has passed.
    pub async fn look(config: Config, limit: Duration) -> Arc<ClusterSnapshot> {
        let interval = limit.max(Duration::from_secs(1));
        let collector = Self::start(CollectorOptions { config, interval, timeout: limit });
        let mut pictures = collector.snapshots();
        let is_whole = |cluster: &Arc<ClusterSnapshot>| {
            let is_asked = |health: &Health| !matches!(health, Health::Checking);
            !cluster.members.is_empty()
                && cluster.members.iter().all(|member| is_asked(&member.health))
                && cluster.is_serving.known().is_some()
        };
        let whole = tokio::time::timeout(limit, pictures.wait_for(is_whole)).await;
        if let Ok(Ok(cluster)) = whole {
            return cluster.clone();
        }
        collector.snapshots().borrow().clone()
    }

    /// The newest snapshot, and notice of every later one.
    pub fn snapshots(&self) -> watch::Receiver<Arc<ClusterSnapshot>> {
        self.snapshots.clone()
    }

    /// Begins a round now. Never waits.
    pub fn refresh(&self) {
        self.send(Command::Refresh);
    }

    /// Changes the time between rounds. Never waits.
    pub fn set_interval(&self, interval: Duration) {
        self.send(Command::SetInterval(interval));
    }

    /// Stops or resumes the rounds. Never waits.
    pub fn set_paused(&self, is_paused: bool) {
        self.send(Command::SetPaused(is_paused));
    }

    fn send(&self, command: Command) {
        // A full queue means that as many commands are about to take effect; a repeated key press may get lost.
        let _ = self.commands.try_send(command);
    }
}

struct Running {
    options: CollectorOptions,
    publish: watch::Sender<Arc<ClusterSnapshot>>,
    endpoints: Vec<EndpointMemory>,
    askers: Vec<JoinSet<()>>,
    rounds: watch::Sender<u64>,
    observe: mpsc::Sender<Observation>,
    observations: mpsc::Receiver<Observation>,
    history: LeaderHistory,
    is_paused: bool,
    answers_missing: usize,
    publish_at: Option<tokio::time::Instant>,
}

impl Running {
    fn new(options: CollectorOptions, publish: watch::Sender<Arc<ClusterSnapshot>>) -> Self {
        let (observe, observations) = mpsc::channel(OBSERVATIONS_MAX);
        Self {
            publish,
            endpoints: Vec::new(),
            askers: Vec::new(),
            rounds: watch::channel(0).0,
            observe,
            observations,
            history: LeaderHistory::new(Instant::now()),
            is_paused: false,
            answers_missing: 0,
            publish_at: None,
            options,
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        for endpoint in self.options.config.endpoints.clone() {
            self.add(&endpoint, true).await;
        }
        let mut ticks = ticks(self.options.interval);
        loop {
            let publish_at = self.publish_at;
            let due = async move {
                match publish_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Refresh) => self.begin_round(),
                    Some(Command::SetInterval(interval)) => {
                        self.options.interval = interval;
                        ticks = self::ticks(interval);
                    }
                    Some(Command::SetPaused(is_paused)) => self.is_paused = is_paused,
                    None => return,
                },
                Some(observation) = self.observations.recv() => self.note(observation).await,
                _ = ticks.tick(), if !self.is_paused => self.begin_round(),
                () = due => self.publish().await,
            }
        }
    }

    fn begin_round(&mut self) {
        self.rounds.send_modify(|round| *round += 1);
        self.answers_missing = self.endpoints.len() * Question::ALL.len();
        self.publish_at = Some(tokio::time::Instant::now() + ROUND_GRACE);
    }

    async fn note(&mut self, observation: Observation) {
        let is_current = observation.round == *self.rounds.borrow();
        if let Some(memory) = self.endpoints.iter_mut().find(|e| e.endpoint == observation.endpoint)
        {
            memory.note(observation);
        }
        if is_current {
            self.answers_missing = self.answers_missing.saturating_sub(1);
        }
        if self.answers_missing == 0 {
            self.publish().await;
        } else if self.publish_at.is_none() {
            self.publish_at = Some(tokio::time::Instant::now() + LATE_GRACE);
        }
    }

    async fn publish(&mut self) {
        self.publish_at = None;
        let now = Instant::now();
        let fresh_for = self.options.interval * 2 + self.options.timeout;
        let moment = Moment { now, fresh_for };
        let (history, round) = (&mut self.history, *self.rounds.borrow());
        let snapshot = assemble(&self.endpoints, moment, round, |term, leader| {
            history.note(now, term, leader)
        });
        let found_more = self.follow_member_list(&snapshot).await;
        // With members just found, the picture is whole only after they were asked.
        if !found_more {
            self.publish.send_replace(Arc::new(snapshot));
        }
    }

    /// Asks members that no endpoint speaks for at the URL they advertise, and stops asking members that are gone.
    async fn follow_member_list(&mut self, snapshot: &ClusterSnapshot) -> bool {
        if self.endpoints.iter().any(|e| e.is_configured && !e.status.was_asked()) {
            return false;
        }
        let urls: Vec<String> =
            snapshot.members.iter().flat_map(|member| member.client_urls.clone()).collect();
        if !snapshot.members.is_empty() {
            self.drop_discovered(&urls);
        }
        let mut found_more = false;
        for member in snapshot.members.iter().filter(|member| member.endpoint.is_none()) {
            if let Some(url) = member.client_urls.first()
                && self.endpoints.len() < self.options.config.endpoints.len() + DISCOVERED_MAX
                && !self.endpoints.iter().any(|e| e.endpoint == *url)
            {
                let url = url.clone();
                self.add(&url, false).await;
                found_more = true;
            }
        }
        if found_more {
            self.begin_round();
        }
        found_more
    }

    fn drop_discovered(&mut self, urls: &[String]) {
        let keep: Vec<bool> =
            self.endpoints.iter().map(|e| e.is_configured || urls.contains(&e.endpoint)).collect();
        let mut kept = keep.iter();
        self.endpoints.retain(|_| *kept.next().unwrap_or(&true));
        let mut kept = keep.iter();
        self.askers.retain(|_| *kept.next().unwrap_or(&true));
    }

    async fn add(&mut self, endpoint: &str, is_configured: bool) {
        if self.endpoints.iter().any(|e| e.endpoint == endpoint) {
            return;
        }
        let (config, timeout) = (&self.options.config, self.options.timeout);
        let probe = Arc::new(Probe::new(config, endpoint, timeout).await);
        let mut tasks = JoinSet::new();
        for question in Question::ALL {
            tasks.spawn(ask_every_round(Asker {
                probe: Arc::clone(&probe),
                endpoint: endpoint.to_owned(),
                question,
                timeout,
                rounds: self.rounds.subscribe(),
                observe: self.observe.clone(),
            }));
        }
        self.endpoints.push(EndpointMemory::new(endpoint, is_configured));
        self.askers.push(tasks);
    }
}

fn ticks(interval: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

struct Asker {
    probe: Arc<Probe>,
    endpoint: String,
    question: Question,
    timeout: Duration,
    rounds: watch::Receiver<u64>,
    observe: mpsc::Sender<Observation>,
}

/// Asks one question of one endpoint once a round; rounds that pass meanwhile are skipped.
async fn ask_every_round(mut asker: Asker) {
    while asker.rounds.changed().await.is_ok() {
        let round = *asker.rounds.borrow_and_update();
        let answer = tokio::time::timeout(asker.timeout, asker.probe.ask(asker.question)).await;
        let result = answer.unwrap_or_else(|_| Err(ProbeError::timeout(asker.timeout)));
        let observation = Observation {
            endpoint: asker.endpoint.clone(),
            round,
            question: asker.question,
            at: Instant::now(),
            result,
        };
        if asker.observe.send(observation).await.is_err() {
            return;
        }
    }
}
