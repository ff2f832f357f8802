//! Writing: the one writer, its transactions, and the moment when what it wrote becomes visible. What a request may
//! write is decided in `apply`, not here.
//!
//! The protocol, which the types enforce as far as they can:
//!
//! 1. [`Writer::txn`] opens a transaction on a batch. There is one [`Writer`] for a store and it lends itself to the
//!    transaction, so there is never a second one. Each change puts its row into the batch and its revision into the
//!    index; the transaction itself, and the next ones, read it at once, other readers do not.
//! 2. [`WriteTxn::finish`] ends it. A dropped transaction is finished too: changes cannot be taken back, so whatever
//!    may refuse a request is checked before the first change.
//! 3. The caller writes the batch. If that fails, the member stops; the index is ahead of the state.
//! 4. [`Writer::publish`] makes all finished transactions visible to readers and hands them to the watch hub.

use super::compaction::Compaction;
use super::pending::Pending;
use super::rows::{SCHEDULED_COMPACT, compact_mark, encode_pair, row_key};
use super::{Change, ChangeKind, Changes, KeyRange, MvccError, RangeResult, ReadView, Revision};
use super::{RevisionKey, Store};
use crate::storage::{Batch, Keyspace};
use bytes::Bytes;
use prost::Message;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::RangeRequest;
use quorate_proto::mvccpb::KeyValue;
use std::sync::Arc;

/// The only one who changes a store. It is created by [`Store::open`] and belongs to the apply thread.
#[derive(Debug)]
pub struct Writer {
    store: Arc<Store>,
    /// Revision of the newest finished transaction, published or not.
    head: i64,
    /// Compact revision as the newest entry left it, published or not.
    compact: i64,
    pending: Pending,
    compactions: Vec<Compaction>,
}

/// What [`Writer::publish`] made visible.
#[derive(Debug)]
#[must_use = "compactions do nothing unless their steps are run"]
pub struct Published {
    /// The store's revision now.
    pub revision: i64,
    /// The physical parts of the compactions among the published entries, in order. They must be run one after the
    /// other, in the order of their revisions.
    pub compactions: Vec<Compaction>,
}

impl Writer {
    pub(super) fn new(store: Arc<Store>) -> Writer {
        let (head, compact) = (store.revision(), store.compact_revision());
        Writer { store, head, compact, pending: Pending::default(), compactions: Vec::new() }
    }

    /// The revision of the newest finished transaction, whether it is published or not.
    pub fn revision(&self) -> i64 {
        self.head
    }

    /// Begins a write transaction whose rows go into `batch`.
    pub fn txn<'a>(&'a mut self, batch: &'a mut Batch) -> WriteTxn<'a> {
        WriteTxn { writer: self, batch, n_ops: 0 }
    }

    /// Forgets what is below `revision`, logically: the mark goes into `batch`, and from the next publishing on
    /// readers are refused. The physical part comes back from [`Writer::publish`].
    ///
    /// # Errors
    /// The revision is compacted already or in the future; then nothing is changed.
    pub fn compact(&mut self, batch: &mut Batch, revision: i64) -> Result<(), EtcdError> {
        if revision <= self.compact {
            return Err(EtcdError::Compacted);
        }
        if revision > self.head {
            return Err(EtcdError::FutureRevision);
        }
        batch.put(Keyspace::Meta, SCHEDULED_COMPACT, compact_mark(revision));
        let compaction = Compaction::scheduled(Arc::clone(&self.store), revision, self.compact);
        self.compactions.push(compaction);
        self.compact = revision;
        Ok(())
    }

    /// Makes all finished transactions and compactions visible. To be called once their batch is written.
    pub fn publish(&mut self) -> Published {
        let changes = self.pending.take();
        let compactions = std::mem::take(&mut self.compactions);
        let store = &self.store;
        store.hub.publish(changes, || store.publish(self.head, self.compact));
        for compaction in &compactions {
            compaction.announce();
        }
        Published { revision: self.head, compactions }
    }
}

/// A write transaction. It takes one revision, the next one, if it changes anything.
#[derive(Debug)]
pub struct WriteTxn<'a> {
    writer: &'a mut Writer,
    batch: &'a mut Batch,
    /// Reads and writes so far, for the count of real transactions.
    n_ops: u32,
}

impl WriteTxn<'_> {
    /// The revision that a response to this transaction carries: the next one if it has changed something.
    pub fn revision(&self) -> i64 {
        self.writer.head + i64::from(!self.writer.pending.open().is_empty())
    }

    /// The state with this transaction's own changes and those of unpublished ones before it.
    pub fn view(&self) -> ReadView<'_> {
        let writer = &*self.writer;
        ReadView::unpublished(&writer.store, self.revision(), writer.compact, &writer.pending)
    }

    /// The pair of `key`, if the key exists.
    ///
    /// # Errors
    /// Storage fails.
    pub fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, MvccError> {
        self.view().get(key)
    }

    /// Answers a range request; see [`ReadView::range`].
    ///
    /// # Errors
    /// Refuses a compacted or future revision; fails where storage does.
    pub fn range(&mut self, request: &RangeRequest) -> Result<RangeResult, MvccError> {
        self.n_ops += 1;
        self.view().range(request)
    }

    /// Puts a pair. Lease 0 means none; that the lease exists has been checked by the caller.
    ///
    /// One transaction must not put a key twice, nor put what it deletes: `api` refuses such requests.
    pub fn put(&mut self, key: Bytes, value: Bytes, lease: i64) {
        self.n_ops += 1;
        let store = &self.writer.store;
        store.counters.puts.add(1);
        store.counters.put_bytes.add((key.len() + value.len()) as i64);
        let revision = self.next_revision();
        let facts = store.index.put(&key, revision, lease);
        store.counters.keys.add(i64::from(facts.version == 1));
        let kv = KeyValue {
            key,
            create_revision: facts.created,
            mod_revision: revision.main,
            version: facts.version,
            value,
            lease,
        };
        let (row, kv) = encode_pair(kv);
        let key = row_key(RevisionKey { revision, is_tombstone: false });
        self.batch.put(Keyspace::Key, key, row);
        let change = Change { kind: ChangeKind::Put, kv, previous_lease: facts.previous_lease };
        self.writer.pending.push(revision.main, change);
    }

    /// Deletes the keys in `range` and returns how many there were. Events come in key order.
    pub fn delete_range(&mut self, range: &KeyRange) -> i64 {
        self.n_ops += 1;
        self.writer.store.counters.deletes.add(1);
        let mut keys = Vec::new();
        self.writer.store.index.walk(range, |key, history| {
            if history.is_alive() {
                keys.push(Bytes::copy_from_slice(key));
            }
        });
        let n_deleted = keys.len() as i64;
        for key in keys {
            self.delete(key);
        }
        self.writer.store.counters.keys.add(-n_deleted);
        n_deleted
    }

    fn delete(&mut self, key: Bytes) {
        let revision = self.next_revision();
        let previous_lease = self.writer.store.index.tombstone(&key, revision);
        let row = KeyValue { key: key.clone(), ..KeyValue::default() }.encode_to_vec();
        let row_key = row_key(RevisionKey { revision, is_tombstone: true });
        self.batch.put(Keyspace::Key, row_key, row);
        let kv = KeyValue { key, mod_revision: revision.main, ..KeyValue::default() };
        let change = Change { kind: ChangeKind::Delete, kv, previous_lease };
        self.writer.pending.push(revision.main, change);
    }

    fn next_revision(&self) -> Revision {
        let sub = self.writer.pending.open().len() as i64;
        Revision { main: self.writer.head + 1, sub }
    }

    /// Ends the transaction. The changes have the revision it took, or the store's where it changed nothing.
    pub fn finish(mut self) -> Arc<Changes> {
        self.close()
    }

    fn close(&mut self) -> Arc<Changes> {
        if std::mem::take(&mut self.n_ops) > 1 {
            self.writer.store.counters.txns.add(1);
        }
        if self.writer.pending.open().is_empty() {
            return Arc::new(Changes { revision: self.writer.head, changes: Vec::new() });
        }
        self.writer.head += 1;
        self.writer.pending.close()
    }
}

impl Drop for WriteTxn<'_> {
    fn drop(&mut self) {
        // After `finish` nothing is open any more and this does nothing.
        self.close();
    }
}
