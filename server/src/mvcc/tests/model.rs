//! A naive key-value store to compare with: whole states by revision, all rows in a list, rules spelled out the slow
//! way. It shares no code with the room but the messages.

use bytes::Bytes;
use prost::Message;
use quorate_etcd_files::hash::KvHash;
use quorate_proto::etcdserverpb::RangeRequest;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::mvccpb::KeyValue;
use std::collections::BTreeMap;

/// What a write operation of the model does.
#[derive(Clone, Debug)]
pub(super) enum WriteOp {
    Put { key: Bytes, value: Bytes, lease: i64 },
    Delete { key: Bytes, range_end: Bytes },
}

/// One change, as a watcher should see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelEvent {
    pub(super) revision: i64,
    pub(super) key: Bytes,
    /// The pair after a put, `None` for a delete.
    pub(super) pair: Option<KeyValue>,
}

/// A stored row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelRow {
    pub(super) main: i64,
    pub(super) key: Bytes,
    pub(super) is_tombstone: bool,
    pub(super) row_key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

type Pairs = BTreeMap<Bytes, KeyValue>;

#[derive(Clone, Debug)]
pub(super) struct Model {
    /// States by revision; the first is that of revision 1.
    states: Vec<Pairs>,
    pub(super) events: Vec<ModelEvent>,
    /// What a member keeps in storage when all compactions are done.
    pub(super) rows: Vec<ModelRow>,
    pub(super) compact: i64,
    pub(super) finished: i64,
    pub(super) hashes: Vec<KvHash>,
}

pub(super) fn contains(key: &[u8], start: &[u8], range_end: &[u8]) -> bool {
    match range_end {
        [] => key == start,
        [0] => key >= start,
        _ => key >= start && key < range_end,
    }
}

impl Model {
    pub(super) fn new() -> Model {
        Model {
            states: vec![Pairs::new()],
            events: Vec::new(),
            rows: Vec::new(),
            compact: -1,
            finished: -1,
            hashes: Vec::new(),
        }
    }

    pub(super) fn revision(&self) -> i64 {
        self.states.len() as i64
    }

    pub(super) fn state(&self, revision: i64) -> &Pairs {
        &self.states[revision as usize - 1]
    }

    pub(super) fn apply(&mut self, ops: &[WriteOp]) {
        let mut pairs = self.state(self.revision()).clone();
        let main = self.revision() + 1;
        let n_events = self.events.len();
        for op in ops {
            match op {
                WriteOp::Put { key, value, lease } => {
                    let old = pairs.get(key);
                    let pair = KeyValue {
                        key: key.clone(),
                        create_revision: old.map_or(main, |old| old.create_revision),
                        mod_revision: main,
                        version: old.map_or(1, |old| old.version + 1),
                        value: value.clone(),
                        lease: *lease,
                    };
                    pairs.insert(key.clone(), pair.clone());
                    self.record(main, n_events, key, Some(pair));
                }
                WriteOp::Delete { key, range_end } => {
                    let hit = pairs.keys().filter(|other| contains(other, key, range_end));
                    for hit in hit.cloned().collect::<Vec<_>>() {
                        pairs.remove(&hit);
                        self.record(main, n_events, &hit, None);
                    }
                }
            }
        }
        if self.events.len() > n_events {
            self.states.push(pairs);
        }
    }

    fn record(&mut self, main: i64, n_before: usize, key: &Bytes, pair: Option<KeyValue>) {
        let sub = (self.events.len() - n_before) as i64;
        let mut row_key = main.to_be_bytes().to_vec();
        row_key.push(b'_');
        row_key.extend(sub.to_be_bytes());
        let stored = match &pair {
            Some(pair) => pair.clone(),
            None => {
                row_key.push(b't');
                KeyValue { key: key.clone(), ..KeyValue::default() }
            }
        };
        let is_tombstone = pair.is_none();
        let value = stored.encode_to_vec();
        self.rows.push(ModelRow { main, key: key.clone(), is_tombstone, row_key, value });
        self.events.push(ModelEvent { revision: main, key: key.clone(), pair });
    }

    /// For every key: its rows split into lives, and of the life that counts at `at` the newest row up to `at`. With
    /// `with_tombstone` a tombstone can be that row.
    fn keep(&self, at: i64, with_tombstone: bool) -> Vec<&ModelRow> {
        let mut lives: BTreeMap<&Bytes, Vec<Vec<&ModelRow>>> = BTreeMap::new();
        for row in &self.rows {
            let lives = lives.entry(&row.key).or_insert_with(|| vec![Vec::new()]);
            lives.last_mut().unwrap().push(row);
            if row.is_tombstone {
                lives.push(Vec::new());
            }
        }
        let mut keep = Vec::new();
        for lives in lives.values() {
            let is_last = |life: &Vec<&ModelRow>| std::ptr::eq(life, lives.last().unwrap());
            let life = lives
                .iter()
                .find(|life| is_last(life) || life.last().is_some_and(|last| last.main >= at));
            let newest = life.unwrap().iter().rev().find(|row| row.main <= at);
            keep.extend(newest.filter(|row| with_tombstone || !row.is_tombstone).copied());
        }
        keep
    }

    fn hash_rows(&self, at: i64, compact: i64, keep: &[&ModelRow]) -> KvHash {
        let mut bytes = b"key".to_vec();
        for row in &self.rows {
            let is_kept = keep.iter().any(|kept| std::ptr::eq(*kept, row));
            let is_skipped = row.main > at
                || (row.main <= compact && !keep.is_empty() && !is_kept)
                || (row.main == compact && row.is_tombstone);
            if !is_skipped {
                bytes.extend(&row.row_key);
                bytes.extend(&row.value);
            }
        }
        let hash = crc32c::crc32c(&bytes);
        KvHash { hash, compact_revision: compact, hash_revision: at }
    }

    /// HashKV; `at` lies in the history.
    pub(super) fn hash_kv(&self, at: i64) -> KvHash {
        let remembered = self.hashes.iter().find(|hash| hash.hash_revision == at);
        if let Some(hash) = remembered {
            return *hash;
        }
        self.hash_rows(at, self.compact, &self.keep(at, false))
    }

    /// HashKV at the newest revision, which is never looked up among the remembered ones.
    pub(super) fn hash_kv_now(&self) -> KvHash {
        self.hash_rows(self.revision(), self.compact, &self.keep(self.revision(), false))
    }

    /// A compaction with its physical part done at once, and the hash it leaves.
    pub(super) fn compact(&mut self, at: i64) {
        let keep = self.keep(at, true);
        let hash = self.hash_rows(at, self.compact, &keep);
        let survivors = self
            .rows
            .iter()
            .filter(|row| row.main > at || keep.iter().any(|kept| std::ptr::eq(*kept, *row)));
        let survivors: Vec<ModelRow> = survivors.cloned().collect();
        if self.finished == self.compact {
            self.hashes.push(hash);
            if self.hashes.len() > 10 {
                self.hashes.remove(0);
            }
        }
        self.rows = survivors;
        self.compact = at;
    }

    /// Pairs, `more` and count of a range at a revision that is in the history.
    pub(super) fn range(&self, request: &RangeRequest) -> (Vec<KeyValue>, bool, i64) {
        let at = if request.revision <= 0 { self.revision() } else { request.revision };
        let all = self.state(at).values();
        let all = all.filter(|pair| contains(&pair.key, &request.key, &request.range_end));
        let mut kvs: Vec<KeyValue> = all.cloned().collect();
        let count = kvs.len() as i64;
        if request.count_only {
            return (Vec::new(), false, count);
        }
        let is_filtered = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ] != [0; 4];
        let (target, order) = (request.sort_target(), request.sort_order());
        let is_plain =
            order == SortOrder::None || (target == SortTarget::Key && order == SortOrder::Ascend);
        if request.limit > 0 && is_plain && !is_filtered {
            kvs.truncate(request.limit as usize + 1);
        }
        if request.min_mod_revision != 0 {
            kvs.retain(|pair| pair.mod_revision >= request.min_mod_revision);
        }
        if request.max_mod_revision != 0 {
            kvs.retain(|pair| pair.mod_revision <= request.max_mod_revision);
        }
        if request.min_create_revision != 0 {
            kvs.retain(|pair| pair.create_revision >= request.min_create_revision);
        }
        if request.max_create_revision != 0 {
            kvs.retain(|pair| pair.create_revision <= request.max_create_revision);
        }
        let is_descending = order == SortOrder::Descend;
        match target {
            SortTarget::Key => kvs.sort_by(|a, b| flip(is_descending, a.key.cmp(&b.key))),
            SortTarget::Version => {
                kvs.sort_by(|a, b| flip(is_descending, a.version.cmp(&b.version)));
            }
            SortTarget::Create => {
                kvs.sort_by(|a, b| flip(is_descending, a.create_revision.cmp(&b.create_revision)));
            }
            SortTarget::Mod => {
                kvs.sort_by(|a, b| flip(is_descending, a.mod_revision.cmp(&b.mod_revision)));
            }
            SortTarget::Value => kvs.sort_by(|a, b| flip(is_descending, a.value.cmp(&b.value))),
        }
        let more = request.limit > 0 && kvs.len() > request.limit as usize;
        if more {
            kvs.truncate(request.limit as usize);
        }
        if request.keys_only {
            for pair in &mut kvs {
                pair.value = Bytes::new();
                if target != SortTarget::Value {
                    pair.lease = 0;
                }
            }
        }
        (kvs, more, count)
    }
}

fn flip(is_descending: bool, ordering: std::cmp::Ordering) -> std::cmp::Ordering {
    if is_descending { ordering.reverse() } else { ordering }
}
