//! A cluster in one process: bootstrapped logs in temporary directories, members that can be killed and started again.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use parking_lot::Mutex;
use prost::Message;
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_etcd_files::wal::{EntryParts, Options, Writer};
use quorate_proto::raftpb::{ConfChange, ConfChangeType, EntryType, HardState};
use quorate_proto::walpb;

use super::machine::{State, TestDisk, TestMachine, put};
use super::memory_net::{MemoryNet, MemoryTransport};
use crate::cluster::{ConfChangeContext, Member};
use crate::raft::*;
use crate::storage::SyncedLog;
use crate::types::MemberId;

/// Counts syncs.
#[derive(Default)]
pub struct Syncs(pub AtomicU64);

impl Observer for Syncs {
    fn wal_synced(&self, _took: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One member and what outlives its process.
pub struct Node {
    /// Its id.
    pub id: MemberId,
    dir: tempfile::TempDir,
    disk: TestDisk,
    /// What the running machine holds.
    pub live: Arc<Mutex<State>>,
    /// Running, if it runs.
    pub raft: Option<Raft<u64>>,
    /// Its syncs.
    pub syncs: Arc<Syncs>,
    synced_log: Arc<SyncedLog>,
}

/// The cluster.
pub struct Cluster {
    /// The members.
    pub nodes: BTreeMap<MemberId, Node>,
    /// What connects them.
    pub net: Arc<MemoryNet>,
    /// Removed members.
    pub removed: Arc<Mutex<HashSet<MemberId>>>,
    /// Changes settings before a member starts.
    pub settings: fn(&mut RaftConfig),
    /// Entries between flushes of the machine.
    pub flush_every: u64,
    /// The disk of the logs.
    pub log_disk: Arc<dyn Disk>,
}

/// The URL of a member.
pub fn url(id: MemberId) -> String {
    format!("http://127.0.0.1:{}", 12380 + id)
}

/// A change as `api` makes it.
pub fn conf_change(kind: ConfChangeType, id: MemberId) -> ConfChange {
    let member = Member { id, peer_urls: vec![url(id)], ..Member::default() };
    let context = ConfChangeContext { member, is_promote: false };
    ConfChange {
        r#type: Some(kind as i32),
        node_id: Some(id),
        context: Some(serde_json::to_vec(&context).unwrap().into()),
        ..ConfChange::default()
    }
}

/// Writes the log of a fresh member, as etcd's bootstrap does. No members: a member that joins.
pub fn bootstrap(disk: &Arc<dyn Disk>, wal: PathBuf, id: MemberId, members: &[MemberId]) {
    let add = |id: &MemberId| conf_change(ConfChangeType::ConfChangeAddNode, *id);
    bootstrap_with(disk, wal, id, &members.iter().map(add).collect::<Vec<_>>());
}

/// The same from the changes that add the members.
pub fn bootstrap_with(disk: &Arc<dyn Disk>, wal: PathBuf, id: MemberId, members: &[ConfChange]) {
    let metadata = walpb::Metadata { node_id: Some(id), cluster_id: Some(77) };
    let mut writer = Writer::create(disk.clone(), &wal, metadata, Options::default()).unwrap();
    for (index, member) in (1..).zip(members) {
        let data = member.encode_to_vec();
        writer.append(&EntryParts {
            kind: EntryType::EntryConfChange,
            term: 1,
            index,
            data: &data,
            ..EntryParts::default()
        });
    }
    if let Some(first) = members.first() {
        writer.append_hard_state(&HardState {
            term: Some(1),
            vote: Some(first.node_id()),
            commit: Some(members.len() as u64),
            vote_committed: None,
        });
    }
    writer.write().unwrap();
    writer.sync().unwrap();
}

impl Cluster {
    /// A cluster of members 1 to `size`, all running.
    pub async fn start(size: u64) -> Cluster {
        Cluster::start_with(size, |_| {}, 1).await
    }

    /// The same with settings changed.
    pub async fn start_with(size: u64, settings: fn(&mut RaftConfig), flush_every: u64) -> Cluster {
        Cluster::start_on(Arc::new(OsDisk), size, settings, flush_every).await
    }

    /// The same with the logs on another disk.
    pub async fn start_on(
        log_disk: Arc<dyn Disk>,
        size: u64,
        settings: fn(&mut RaftConfig),
        flush_every: u64,
    ) -> Cluster {
        let mut cluster = Cluster {
            nodes: BTreeMap::new(),
            net: Arc::default(),
            removed: Arc::default(),
            settings,
            flush_every,
            log_disk,
        };
        let members: Vec<MemberId> = (1..=size).collect();
        for id in &members {
            cluster.prepare(*id, &members);
        }
        for id in members {
            cluster.run(id).await;
        }
        cluster
    }

    /// Makes the data directory of a member.
    pub fn prepare(&mut self, id: MemberId, members: &[MemberId]) {
        let dir = tempfile::tempdir().unwrap();
        self.log_disk.create_dir_all(&dir.path().join("snap")).unwrap();
        bootstrap(&self.log_disk, dir.path().join("wal"), id, members);
        let node = Node {
            id,
            dir,
            disk: TestDisk::default(),
            live: Arc::default(),
            raft: None,
            syncs: Arc::default(),
            synced_log: Arc::default(),
        };
        self.nodes.insert(id, node);
    }

    /// Starts a member on its directory.
    pub async fn run(&mut self, id: MemberId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let mut config = RaftConfig {
            member_id: id,
            cluster_id: 77,
            heartbeat: Duration::from_millis(20),
            election: Duration::from_millis(300),
            initial_election_tick_advance: true,
            pre_vote: true,
            snapshot_count: 10_000,
            snapshot_catchup_entries: 5_000,
            max_wals: 5,
            wal_dir: node.dir.path().join("wal"),
            snap_dir: node.dir.path().join("snap"),
            max_request_bytes: 2 << 20,
            unsafe_no_fsync: false,
        };
        (self.settings)(&mut config);
        // What one start saw on disk, the next must find.
        node.synced_log = Arc::new(SyncedLog::since(node.synced_log.last()));
        let machine = TestMachine::new(node.disk.clone(), node.live.clone(), self.flush_every);
        let removed = self.removed.clone();
        let surroundings = Surroundings {
            transport: Arc::new(MemoryTransport { from: id, net: self.net.clone() }),
            disk: self.log_disk.clone(),
            observer: node.syncs.clone(),
            is_removed: Arc::new(move |id| removed.lock().contains(&id)),
            synced_log: node.synced_log.clone(),
        };
        let raft = Raft::start(config, machine, surroundings).await.unwrap();
        self.net.plug(id, Some(raft.peer_handler()));
        node.raft = Some(raft);
    }

    /// Stops a member without any courtesy to the others.
    pub async fn kill(&mut self, id: MemberId) {
        self.net.plug(id, None);
        if let Some(raft) = self.node_mut(id).raft.take() {
            raft.shutdown().await;
        }
    }

    /// A running member.
    pub fn raft(&self, id: MemberId) -> Raft<u64> {
        self.nodes[&id].raft.clone().expect("the member runs")
    }

    /// The last entry that a running member has purged from its log.
    pub fn purged(&self, id: MemberId) -> u64 {
        let metrics = self.raft(id).shared.core.metrics();
        metrics.borrow_watched().purged.map_or(0, |last| last.index)
    }

    fn node_mut(&mut self, id: MemberId) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Waits until the running members `among` agree on a leader among them.
    pub async fn leader_among(&self, among: &[MemberId]) -> MemberId {
        eventually("a leader", || {
            let leaders: Vec<_> = among.iter().map(|id| self.raft(*id).leader()).collect();
            let first = leaders[0]?;
            (among.contains(&first) && leaders.iter().all(|leader| *leader == Some(first)))
                .then_some(first)
        })
        .await
    }

    /// Waits until all running members agree on a leader.
    pub async fn leader(&self) -> MemberId {
        let running: Vec<_> =
            self.nodes.values().filter(|node| node.raft.is_some()).map(|node| node.id).collect();
        self.leader_among(&running).await
    }

    /// Waits until all running members hold the same state, and returns it.
    pub async fn settled(&self) -> State {
        eventually("equal states", || {
            let running = self.nodes.values().filter(|node| node.raft.is_some());
            let states: Vec<State> = running.map(|node| node.live.lock().clone()).collect();
            states.iter().all(|state| state == &states[0]).then(|| states[0].clone())
        })
        .await
    }

    /// Puts keys `from..to` through a member, one after another.
    pub async fn fill(&self, through: MemberId, keys: std::ops::Range<u32>) {
        let raft = self.raft(through);
        for key in keys {
            raft.propose(put(&format!("k{key}"), "v")).await.unwrap();
        }
    }

    /// Stops everything.
    pub async fn stop(mut self) {
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        for id in ids {
            self.kill(id).await;
        }
    }
}

/// Waits for a condition; fails with its name when it does not come.
pub async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
