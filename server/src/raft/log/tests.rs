//! Tests of the log: openraft's contract, restarts, and logs that etcd wrote.
//!
//! openraft's own suite (`openraft::testing::log::Suite`) does not fit: it begins with entry 0 and expects an empty
//! store to know no log id, whereas this log begins with entry 1, as etcd's does. What it checks is checked here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use parking_lot::Mutex;
use proptest::prelude::*;
use prost::Message;
use quorate_etcd_files::disk::Disk;
use quorate_etcd_files::lossy_disk::{LossyDisk, PowerLoss};
use quorate_etcd_files::wal::{EntryParts, Options, Writer};
use quorate_proto::raftpb::{ConfChange, ConfChangeType, EntryType, HardState};
use quorate_proto::walpb;

use super::open::{LogIdentity, LogSurroundings, Opened, open};
use super::store::LogStore;
use crate::cluster::{ConfChangeContext, Member};
use crate::raft::config::NoObserver;
use crate::raft::core::{Change, Entry, EntryData, LeaderId, LogId, ORIGIN, Vote};
use crate::raft::error::Fatal;
use crate::raft::machine::{AppliedState, Command};
use crate::raft::membership::{Membership, Peer, StoredMembership};
use crate::storage::{AppliedMark, SyncedLog};

/// Small segments, so that the tests see many.
const OPTIONS: Options = Options { segment_bytes: 4096, prepare_ahead: false };

/// A log on a disk of its own.
struct Bench {
    synced: Mutex<Arc<SyncedLog>>,
    disk: LossyDisk,
    dir: PathBuf,
    catchup_entries: u64,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench {
            disk: LossyDisk::default(),
            dir: "/d/wal".into(),
            catchup_entries: 1000,
            synced: Mutex::default(),
        };
        bench.disk.create_dir_all(Path::new("/d")).unwrap();
        bench.disk.sync_dir(Path::new("/")).unwrap();
        bench
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn create(&self) -> Writer {
        let metadata = walpb::Metadata { node_id: Some(1), cluster_id: Some(7) };
        Writer::create(self.disk(), &self.dir, metadata, OPTIONS).unwrap()
    }

    fn try_open(&self, applied: Option<AppliedState>) -> Result<Opened, Fatal> {
        let identity = LogIdentity {
            dir: self.dir.clone(),
            member_id: 1,
            cluster_id: 7,
            catchup_entries: self.catchup_entries,
            segments_kept: 5,
            is_sync_off: false,
            options: OPTIONS,
        };
        // What one start saw on disk, the next must find.
        let synced = Arc::new(SyncedLog::since(self.synced.lock().last()));
        *self.synced.lock() = synced.clone();
        let around = LogSurroundings {
            disk: self.disk(),
            seen: Arc::new(|_| {}),
            observer: Arc::new(NoObserver),
            synced,
        };
        open(&identity, applied, around)
    }

    fn open(&self, applied: Option<AppliedState>) -> LogStore {
        self.try_open(applied).unwrap().store
    }

    /// Opens a log that was closed in order.
    fn reopen(&self, store: &LogStore, applied: Option<AppliedState>) -> LogStore {
        close(store);
        self.open(applied)
    }
}

fn close(store: &LogStore) {
    store.close();
    // The thread has ended once it refuses work.
    while !store.writer.is_closed() {
        std::thread::yield_now();
    }
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId { term, node_id: 1 }, index }
}

fn entry(term: u64, index: u64) -> Entry {
    let data = format!("{term}/{index}").into_bytes().into();
    let payload = EntryData::Command(Arc::new(Command::encoded(data)));
    Entry { log_id: log_id(term, index), payload }
}

fn entries(term: u64, range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(|index| entry(term, index)).collect()
}

async fn all(store: &LogStore) -> Vec<Entry> {
    store.clone().try_get_log_entries(0..).await.unwrap()
}

fn applied(index: u64) -> Option<AppliedState> {
    let mark = AppliedMark { term: 1, index, leader_member_id: 1 };
    let mut membership = StoredMembership::default();
    membership.membership.members.insert(1, Peer::default());
    Some(AppliedState { mark, membership })
}

/// Entries, vote and commit mark are there again after a restart.
#[tokio::test]
async fn survives_a_restart() {
    let bench = Bench::new();
    drop(bench.create());
    let mut store = bench.open(None);
    assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(ORIGIN));
    assert_eq!(store.read_vote().await.unwrap(), None);
    let vote = Vote { leader_id: LeaderId { term: 3, node_id: 1 }, committed: true };
    store.save_vote(&vote).await.unwrap();
    store.blocking_append(entries(3, 1..6)).await.unwrap();
    store.save_committed(Some(log_id(3, 4))).await.unwrap();

    let mut store = bench.reopen(&store, None);
    assert_eq!(store.read_vote().await.unwrap(), Some(vote));
    assert_eq!(store.read_committed().await.unwrap(), Some(log_id(3, 4)));
    assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(log_id(3, 5)));
    assert_eq!(all(&store).await, entries(3, 1..6));
    close(&store);
}

/// Every kind of entry comes back as it was.
#[tokio::test]
async fn keeps_every_kind_of_entry() {
    let bench = Bench::new();
    drop(bench.create());
    let mut store = bench.open(None);
    let mut after = Membership::default();
    after.members.insert(1, Peer { peer_urls: vec!["http://a:1".into()], ..Peer::default() });
    let joining = Peer { is_joining: true, ..Peer::default() };
    after.members.insert(9, joining);
    let change = ConfChange {
        id: Some(5),
        r#type: Some(ConfChangeType::ConfChangeAddNode as i32),
        node_id: Some(9),
        context: Some("{}".into()),
    };
    let change = EntryData::Change(Arc::new(Change::new(change, after)));
    let written = vec![
        Entry { log_id: log_id(1, 1), payload: EntryData::Blank },
        Entry { log_id: log_id(1, 2), payload: change },
        entry(1, 3),
    ];
    store.blocking_append(written.clone()).await.unwrap();
    let store = bench.reopen(&store, None);
    assert_eq!(all(&store).await, written);
    close(&store);
}

/// After a truncation the new entries are in force, also after a restart.
#[tokio::test]
async fn truncation_is_overwritten() {
    let bench = Bench::new();
    drop(bench.create());
    let mut store = bench.open(None);
    store.blocking_append(entries(1, 1..8)).await.unwrap();
    store.truncate_after(Some(log_id(1, 4))).await.unwrap();
    assert_eq!(all(&store).await, entries(1, 1..5));
    store.blocking_append(entries(2, 5..7)).await.unwrap();
    let expected = [entries(1, 1..5), entries(2, 5..7)].concat();
    assert_eq!(all(&store).await, expected);
    let store = bench.reopen(&store, None);
    assert_eq!(all(&store).await, expected);
    close(&store);
}

/// A purged log begins later, and a restart knows the id of what is gone.
#[tokio::test]
async fn purge_moves_the_beginning() {
    let mut bench = Bench::new();
    bench.catchup_entries = 2;
    drop(bench.create());
    let mut store = bench.open(None);
    store.blocking_append(entries(1, 1..11)).await.unwrap();
    store.purge(log_id(1, 6)).await.unwrap();
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 6)));
    assert_eq!(all(&store).await, entries(1, 7..11));
    assert_eq!(store.limited_get_log_entries(7, 9).await.unwrap(), entries(1, 7..9));
    let mut store = bench.reopen(&store, applied(9));
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 7)));
    assert_eq!(all(&store).await, entries(1, 8..11));
    close(&store);
}

/// A snapshot from the leader lies beyond the log: the log goes on behind it, also after a restart.
#[tokio::test]
async fn snapshot_leaves_a_hole() {
    let mut bench = Bench::new();
    bench.catchup_entries = 0;
    drop(bench.create());
    let mut store = bench.open(None);
    store.blocking_append(entries(1, 1..4)).await.unwrap();
    store.purge(log_id(1, 100)).await.unwrap();
    let state = store.get_log_state().await.unwrap();
    assert_eq!(
        (state.last_purged_log_id, state.last_log_id),
        (Some(log_id(1, 100)), Some(log_id(1, 100)))
    );
    let hole = store.append(entries(1, 105..106), openraft::storage::IOFlushed::noop()).await;
    assert!(hole.is_err(), "a hole is refused");
    store.blocking_append(entries(1, 101..104)).await.unwrap();
    let mut store = bench.reopen(&store, applied(100));
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 100)));
    assert_eq!(all(&store).await, entries(1, 101..104));
    close(&store);
}

/// Entries that are not in memory any more are read from the file.
#[tokio::test]
async fn evicted_entries_are_read_back() {
    let bench = Bench::new();
    drop(bench.create());
    let mut store = bench.open(None);
    store.view.lock().cache_max = 1000;
    for index in 1..200 {
        store.blocking_append([entry(1, index)]).await.unwrap();
    }
    assert_eq!(all(&store).await, entries(1, 1..200));
    let stream: Vec<_> = futures::StreamExt::collect(store.entries_stream(5..50).await).await;
    let streamed: Vec<Entry> = stream.into_iter().map(Result::unwrap).collect();
    assert_eq!(streamed, entries(1, 5..50));
    close(&store);
}

/// After a failed write nothing is acknowledged any more, and nobody waits for ever.
#[tokio::test]
async fn failed_write_is_final() {
    let bench = Bench::new();
    drop(bench.create());
    let mut store = bench.open(None);
    store.blocking_append(entries(1, 1..3)).await.unwrap();
    bench.disk.fail_after(0);
    assert!(store.blocking_append(entries(1, 3..4)).await.is_err());
    bench.disk.heal();
    assert!(store.blocking_append(entries(1, 4..5)).await.is_err());
    assert!(
        store
            .save_vote(&Vote { leader_id: log_id(9, 0).leader_id, committed: false })
            .await
            .is_err()
    );
    assert!(store.fatal().borrow().is_some());
}

/// Whatever was acknowledged is there after any loss of power; what was not may be there, but only as a whole prefix.
#[tokio::test]
async fn acknowledged_entries_survive_power_losses() {
    for seed in 0..20 {
        let bench = Bench::new();
        drop(bench.create());
        let mut next = 1;
        let loss = if seed % 4 == 0 { PowerLoss::All } else { PowerLoss::RandomBlocks(seed) };
        for _ in 0..3 {
            let mut store = bench.open(None);
            let last = store.last().index;
            assert!(
                last >= next - 1,
                "entry {} was acknowledged, the log ends at {last}",
                next - 1
            );
            assert_eq!(all(&store).await, entries(1, 1..last + 1));
            next = last + 1;
            for _ in 0..10 {
                store.blocking_append(entries(1, next..next + 3)).await.unwrap();
                next += 3;
            }
            let flushed = openraft::storage::IOFlushed::noop();
            store.append(entries(1, next..next + 40), flushed).await.unwrap();
            bench.disk.power_loss(loss);
            close(&store);
        }
    }
}

/// The control of the test above: with a disk that ignores syncs, it would fail.
#[tokio::test]
async fn ignored_syncs_are_noticed() {
    let bench = Bench::new();
    drop(bench.create());
    let mut store = bench.open(None);
    bench.disk.ignore_syncs();
    store.blocking_append(entries(1, 1..30)).await.unwrap();
    bench.disk.power_loss(PowerLoss::All);
    close(&store);
    let Err(error) = bench.try_open(None) else { panic!("what was lost is not missed") };
    assert!(error.to_string().contains("has lost its end"), "{error}");
}

fn add(id: u64) -> Vec<u8> {
    let member = Member { id, peer_urls: vec![format!("http://h{id}:1")], ..Member::default() };
    let context = ConfChangeContext { member, is_promote: false };
    let change = ConfChange {
        r#type: Some(ConfChangeType::ConfChangeAddNode as i32),
        node_id: Some(id),
        context: Some(serde_json::to_vec(&context).unwrap().into()),
        ..ConfChange::default()
    };
    change.encode_to_vec()
}

/// The log of a cluster of three as etcd leaves it: three changes, a leader's first entry, some requests.
fn etcd_log(bench: &Bench) {
    let mut writer = bench.create();
    for index in 1..=3 {
        let data = add(index);
        let kind = EntryType::EntryConfChange;
        writer.append(&EntryParts { kind, term: 1, index, data: &data, ..EntryParts::default() });
    }
    for index in 4..=9 {
        let data: &[u8] = if index == 4 { b"" } else { b"\x1a\x00" };
        writer.append(&EntryParts { term: 2, index, data, ..EntryParts::default() });
    }
    let state = HardState { term: Some(2), vote: Some(3), commit: Some(8), vote_committed: None };
    writer.append_hard_state(&state);
    writer.write().unwrap();
    writer.sync().unwrap();
}

/// A log that etcd wrote is understood from its first entry on, although it does not carry memberships.
#[tokio::test]
async fn etcd_log_tells_its_members() {
    let bench = Bench::new();
    etcd_log(&bench);
    let opened = bench.try_open(None).unwrap();
    let mut store = opened.store;
    assert_eq!(opened.newest.members.len(), 3);
    assert_eq!(opened.newest.members[&2].peer_urls, ["http://h2:1"]);
    assert_eq!(store.committed_index(), 8);
    let vote = Vote { leader_id: LeaderId { term: 2, node_id: 3 }, committed: false };
    assert_eq!(store.read_vote().await.unwrap(), Some(vote));
    let read = all(&store).await;
    let EntryData::Change(second) = &read[1].payload else { panic!("{:?}", read[1]) };
    assert_eq!(second.after.members.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(read[3].payload, EntryData::Blank);
    close(&store);
}

/// A restored state knows its mark but not its members: the log tells them.
#[tokio::test]
async fn restored_state_gets_its_members_from_the_log() {
    let bench = Bench::new();
    etcd_log(&bench);
    let mark = AppliedMark { term: 1, index: 3, leader_member_id: 0 };
    let state = AppliedState { mark, membership: StoredMembership::default() };
    let opened = bench.try_open(Some(state)).unwrap();
    assert_eq!(opened.applied.membership.mark.index, 3);
    assert_eq!(opened.applied.membership.membership.members.len(), 3);
    close(&opened.store);
}

/// Where the beginning of etcd's log is not offered, what is before the machine's own membership is presented as purged.
#[tokio::test]
async fn etcd_log_without_its_beginning() {
    let mut bench = Bench::new();
    bench.catchup_entries = 7;
    etcd_log(&bench);
    let mut state = applied(8).unwrap();
    state.mark.term = 2;
    state.mark.leader_member_id = 0;
    // Entry 2 and 3 are changes whose membership depends on entry 1, which is cut off; the machine's is known.
    state.membership.mark.index = 3;
    let mut store = bench.open(Some(state));
    let purged = store.get_log_state().await.unwrap().last_purged_log_id.unwrap();
    assert_eq!(purged.index, 3);
    assert_eq!(all(&store).await.len(), 6);
    close(&store);
}

/// Another member's log, and a state that the log does not reach back to, are refused with the reason.
#[test]
fn foreign_logs_are_refused() {
    let bench = Bench::new();
    let metadata = walpb::Metadata { node_id: Some(2), cluster_id: Some(7) };
    drop(Writer::create(bench.disk(), &bench.dir, metadata, OPTIONS).unwrap());
    let error = bench.try_open(None).err().unwrap().to_string();
    assert!(error.contains("belongs to member 2 of cluster 7"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Truncate(u64),
    Purge(u64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6u64).prop_map(Step::Append),
        1 => (0..5u64).prop_map(Step::Truncate),
        1 => (0..9u64).prop_map(Step::Purge),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The log behaves like a list with a moving beginning, through any order of appends, truncations, purges and
    /// restarts.
    #[test]
    fn behaves_like_a_list(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run_steps(steps));
    }
}

async fn run_steps(steps: Vec<Step>) {
    let mut bench = Bench::new();
    bench.catchup_entries = 0;
    drop(bench.create());
    let mut store = bench.open(None);
    let mut model: Vec<Entry> = Vec::new();
    let (mut purged, mut term) = (ORIGIN, 1);
    for step in steps {
        let last = model.last().map_or(purged, |entry| entry.log_id);
        match step {
            Step::Append(count) => {
                let new = entries(term, last.index + 1..last.index + 1 + count);
                store.blocking_append(new.clone()).await.unwrap();
                model.extend(new);
            }
            Step::Truncate(count) => {
                let keep = model.len().saturating_sub(count as usize);
                model.truncate(keep);
                let last = model.last().map_or(purged, |entry| entry.log_id);
                store.truncate_after(Some(last)).await.unwrap();
                term += 1;
                // On disk a truncation is what overwrites it.
                let new = entries(term, last.index + 1..last.index + 2);
                store.blocking_append(new.clone()).await.unwrap();
                model.extend(new);
            }
            Step::Purge(count) => {
                let count = (count as usize).min(model.len());
                if let Some(entry) = model.drain(..count).next_back() {
                    purged = entry.log_id;
                    store.purge(purged).await.unwrap();
                }
            }
            Step::Reopen => {
                let mark = crate::raft::core::mark(&purged);
                let mut state = applied(0).unwrap();
                state.mark = mark;
                store = bench.reopen(&store, Some(state));
            }
        }
        assert_eq!(all(&store).await, model);
        let last = model.last().map_or(purged, |entry| entry.log_id);
        assert_eq!(store.get_log_state().await.unwrap().last_log_id, Some(last));
    }
    close(&store);
}
