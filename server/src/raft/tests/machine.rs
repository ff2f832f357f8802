//! A state machine for tests: remembers keys and the order of entries, keeps its durable state in a value that
//! outlives it like a disk outlives a process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use quorate_proto::etcdserverpb::{InternalRaftRequest, PutRequest};
use tokio::sync::watch;

use crate::raft::machine::*;
use crate::raft::{Fatal, StoredMembership};
use crate::storage::AppliedMark;

/// The state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// How far.
    pub applied: Option<AppliedState>,
    /// Key → (value, index of the entry that wrote it).
    pub keys: BTreeMap<String, (String, u64)>,
    /// How many entries were applied to reach this state.
    pub entries: u64,
}

/// The machine's "disk".
pub type TestDisk = Arc<Mutex<State>>;

/// The machine.
pub struct TestMachine {
    state: State,
    disk: TestDisk,
    live: Arc<Mutex<State>>,
    durable: watch::Sender<Option<AppliedMark>>,
    /// Entries between two flushes.
    flush_every: u64,
}

impl TestMachine {
    /// A machine that starts from what its disk holds; `live` shows its state to the test.
    pub fn new(disk: TestDisk, live: Arc<Mutex<State>>, flush_every: u64) -> TestMachine {
        let state = disk.lock().clone();
        *live.lock() = state.clone();
        let mark = state.applied.as_ref().map(|applied| applied.mark.clone());
        TestMachine { state, disk, live, durable: watch::Sender::new(mark), flush_every }
    }

    fn flush(&mut self) {
        *self.disk.lock() = self.state.clone();
        let mark = self.state.applied.as_ref().map(|applied| applied.mark.clone());
        self.durable.send_replace(mark);
    }
}

/// The request that puts a key.
pub fn put(key: &str, value: &str) -> InternalRaftRequest {
    let put = PutRequest {
        key: Bytes::from(key.to_owned()),
        value: Bytes::from(value.to_owned()),
        ..PutRequest::default()
    };
    InternalRaftRequest { put: Some(put), ..InternalRaftRequest::default() }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Machine for TestMachine {
    /// The entry's index.
    type Outcome = u64;

    fn applied(&self) -> Option<AppliedState> {
        self.state.applied.clone()
    }

    fn apply(&mut self, entries: &[CommittedEntry]) -> Result<Vec<Applied<u64>>, Fatal> {
        let mut outcomes = Vec::new();
        for entry in entries {
            let mut applied = self.state.applied.clone().unwrap_or_default();
            assert_eq!(
                entry.mark.index,
                applied.mark.index + 1,
                "entries come in order, without gaps"
            );
            applied.mark = entry.mark.clone();
            let request_id = match &entry.payload {
                CommittedPayload::Blank => 0,
                CommittedPayload::Command(request) => {
                    if let Some(put) = &request.put {
                        let value = (text(&put.value), entry.mark.index);
                        self.state.keys.insert(text(&put.key), value);
                    }
                    request.header.as_ref().map_or(0, |header| header.id)
                }
                CommittedPayload::Membership(change) => {
                    applied.membership = change.after.clone();
                    change.change.id()
                }
            };
            self.state.applied = Some(applied);
            self.state.entries += 1;
            if entry.is_awaited {
                outcomes.push(Applied { request_id, outcome: entry.mark.index });
            }
        }
        *self.live.lock() = self.state.clone();
        let durable = self.durable.borrow().as_ref().map_or(0, |mark| mark.index);
        let applied = self.state.applied.as_ref().map_or(0, |applied| applied.mark.index);
        if applied >= durable + self.flush_every {
            self.flush();
        }
        Ok(outcomes)
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn durable(&self) -> watch::Receiver<Option<AppliedMark>> {
        self.durable.subscribe()
    }

    fn snapshot(&mut self) -> Result<SnapshotSource, Fatal> {
        let state = self.state.clone();
        let applied = state.applied.clone().unwrap_or_default();
        let write: WriteImage = Box::new(move |out| {
            writeln!(out, "{}", state.entries)?;
            for (key, (value, index)) in &state.keys {
                writeln!(out, "{key}\t{value}\t{index}")?;
            }
            Ok(())
        });
        Ok(SnapshotSource { state: applied, write })
    }

    fn install(&mut self, state: &AppliedState, file: &Path) -> Result<(), Fatal> {
        let mut lines = BufReader::new(std::fs::File::open(file)?).lines();
        let entries = lines.next().unwrap()?.parse().unwrap();
        let mut keys = BTreeMap::new();
        for line in lines {
            let line = line?;
            let mut fields = line.split('\t');
            let mut field = || fields.next().unwrap().to_owned();
            keys.insert(field(), (field(), field().parse().unwrap()));
        }
        self.state = State { applied: Some(state.clone()), keys, entries };
        *self.live.lock() = self.state.clone();
        self.flush();
        Ok(())
    }
}

/// A membership that survives its encoding.
#[test]
fn stored_membership_survives_encoding() {
    let mark = AppliedMark { term: 3, index: 9, leader_member_id: 7 };
    let mut stored = StoredMembership { mark, ..StoredMembership::default() };
    let peer = crate::raft::Peer {
        peer_urls: vec!["http://127.0.0.1:2380".to_owned()],
        is_learner: true,
        is_joining: true,
    };
    stored.membership.members.insert(u64::MAX, peer);
    assert_eq!(StoredMembership::decode(stored.encode()).unwrap(), stored);
}
