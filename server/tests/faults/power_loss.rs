//! A whole member, log and state on one disk that loses what was not synced. In this process, because the disk is ours.
//! The rooms `raft` and `storage` prove their halves; this is about the two together: the state's mark and the log must
//! fit, whatever part of either was lost.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quorate_etcd_files::datadir::{InitialCluster, create_log};
use quorate_etcd_files::lossy_disk::{LossyDisk, PowerLoss};
use quorate_etcd_files::wal;
use quorate_proto::etcdserverpb::{InternalRaftRequest, PutRequest, RangeRequest};
use quorate_server::apply::{Applier, Outcome, Reply, State};
use quorate_server::auth::AuthStore;
use quorate_server::clock::SystemClock;
use quorate_server::cluster::ClusterState;
use quorate_server::raft::grpc::{GrpcTransport, Identity};
use quorate_server::raft::{NoObserver, Raft, RaftConfig, Surroundings};
use quorate_server::storage::{Backend, BackendOptions, SyncPolicy};
use quorate_server::tasks::COMPACTION_QUEUE;
use quorate_server::tls::TlsDialer;
use rand::Rng as _;
use tokio::task::JoinSet;

use super::ask;
use super::stage::dice;

const WAL: &str = "/data/member/wal";
const SNAP: &str = "/data/member/snap";
const ROUNDS: usize = 12;
const WRITERS: usize = 8;

/// A member of a cluster of one on a disk of ours.
struct Member {
    raft: Raft<Outcome>,
    state: Arc<State>,
}

/// The member's log, as a first start writes it.
fn bootstrap(disk: &LossyDisk) -> Identity {
    let urls = [("m1".to_owned(), vec!["http://127.0.0.1:1".to_owned()])].into();
    let cluster = InitialCluster::new(&urls, "power").unwrap();
    let member_id = cluster.members[0].id;
    let options = wal::Options { prepare_ahead: false, ..wal::Options::default() };
    create_log(Arc::new(disk.clone()), Path::new(WAL), &cluster, member_id, false, options)
        .unwrap();
    Identity { cluster_id: cluster.cluster_id, member_id }
}

impl Member {
    async fn start(
        disk: &LossyDisk,
        identity: Identity,
        is_sync_off: bool,
    ) -> Result<Member, String> {
        let sync = if is_sync_off { SyncPolicy::Never } else { SyncPolicy::Always };
        // Flushed often, so that the power goes in the middle of flushes too.
        let flush_interval = Duration::from_millis(5);
        let options = BackendOptions {
            sync,
            flush_interval,
            disk: Arc::new(disk.clone()),
            ..Default::default()
        };
        let backend =
            Backend::open(&Path::new(SNAP).join("state"), options).map_err(|e| e.to_string())?;
        let Identity { cluster_id, member_id } = identity;
        let cluster = Arc::new(ClusterState::new(cluster_id, member_id));
        // Nothing is compacted here.
        let (compactions, _) = std::sync::mpsc::sync_channel(COMPACTION_QUEUE);
        let clock = SystemClock::shared();
        let auth = Arc::new(AuthStore::new(clock.clone(), std::time::Duration::from_secs(300)));
        let synced_log = backend.synced_log();
        let applier = Applier::open(backend, cluster, auth, clock, compactions);
        let applier = applier.map_err(|error| error.to_string())?;
        let state = applier.state().clone();
        let (heartbeat, election) = (Duration::from_millis(20), Duration::from_millis(100));
        let config = RaftConfig {
            member_id,
            cluster_id,
            heartbeat,
            election,
            initial_election_tick_advance: true,
            pre_vote: true,
            snapshot_count: 100,
            snapshot_catchup_entries: 50,
            max_wals: 1,
            wal_dir: WAL.into(),
            snap_dir: SNAP.into(),
            max_request_bytes: 1 << 20,
            unsafe_no_fsync: is_sync_off,
        };
        let surroundings = Surroundings {
            transport: Arc::new(GrpcTransport::new(
                identity,
                Arc::new(TlsDialer::default()),
                heartbeat,
                election,
            )),
            disk: Arc::new(disk.clone()),
            observer: Arc::new(NoObserver),
            is_removed: Arc::new(|_| false),
            synced_log,
        };
        let raft =
            Raft::start(config, applier, surroundings).await.map_err(|error| error.to_string())?;
        Ok(Member { raft, state })
    }
}

fn put(key: &str) -> InternalRaftRequest {
    let put = PutRequest {
        key: key.to_owned().into(),
        value: key.to_owned().into(),
        ..Default::default()
    };
    InternalRaftRequest { put: Some(put), ..Default::default() }
}

/// Writers until the member breaks; returns keys with the revisions that were acknowledged.
fn write(
    raft: &Raft<Outcome>,
    round: usize,
    count: &Arc<AtomicUsize>,
) -> JoinSet<Vec<(String, i64)>> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (raft, count) = (raft.clone(), count.clone());
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                let key = format!("{round}/{writer}/{n}");
                let Ok(Ok(Reply::Put(answer))) = raft.propose(put(&key)).await else { break };
                acknowledged.push((key, answer.header.unwrap().revision));
                count.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        });
    }
    writers
}

/// How many acknowledged writes are not in the state at their revision.
fn missing(state: &State, acknowledged: &[(String, i64)]) -> usize {
    let is_there = |(key, revision): &&(String, i64)| {
        let range =
            RangeRequest { key: key.clone().into(), revision: *revision, ..Default::default() };
        let found = state.store().range(&range).ok().and_then(|found| found.kvs.into_iter().next());
        found.is_some_and(|kv| kv.mod_revision == *revision && kv.value == key.as_bytes())
    };
    acknowledged.len() - acknowledged.iter().filter(is_there).count()
}

/// Lives that end with the power.
///
/// # Errors
/// What was lost, or why the member does not come back.
async fn lose_power(is_sync_off: bool) -> Result<usize, String> {
    let mut dice = dice("power_loss");
    let disk = LossyDisk::default();
    let identity = bootstrap(&disk);
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let member = Member::start(&disk, identity, is_sync_off).await?;
        // What was synced but not known to be committed is applied with the new leader's first entry.
        member.raft.read_index().await.map_err(|error| error.to_string())?;
        let lost = missing(&member.state, &acknowledged);
        if lost > 0 {
            return Err(format!(
                "{lost} of {} acknowledged writes are lost in round {round}",
                acknowledged.len()
            ));
        }
        let count = Arc::new(AtomicUsize::new(0));
        let writers = write(&member.raft, round, &count);
        let enough = dice.random_range(20..200);
        let reached = async || (count.load(Ordering::Relaxed) > enough).then_some(());
        ask::until("writes", Duration::from_secs(60), reached).await;
        let is_whole = dice.random_bool(0.3);
        disk.power_loss(if is_whole {
            PowerLoss::All
        } else {
            PowerLoss::RandomBlocks(dice.random())
        });
        // Without syncs the member may not notice: it is ended.
        member.raft.shutdown().await;
        for done in writers.join_all().await {
            acknowledged.extend(done);
        }
    }
    Ok(acknowledged.len())
}

/// Nothing acknowledged is lost, and the member starts by itself from whatever the power left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_survives_power_losses() {
    let written = lose_power(false).await.unwrap();
    println!("{ROUNDS} power losses, {written} acknowledged writes");
}

/// The control: with `--unsafe-no-fsync` the same test must fail, or it would prove nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_syncs_it_does_not() {
    let lost = lose_power(true).await.unwrap_err();
    println!("{lost}");
}
