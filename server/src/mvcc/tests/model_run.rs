//! Random histories, applied to the store and to the model, compared at every step.

use super::model::{Model, ModelEvent, WriteOp, contains};
use super::*;
use crate::mvcc::watch::{Delivery, DeliveryBody, WatchCreate, WatchStream};
use crate::mvcc::{MvccError, Progress};
use crate::storage::Keyspace;
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::WatchCreateRequest;
use quorate_proto::mvccpb::event::EventType;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// One step of a history. Revisions are given as a share of what there is, in 255ths.
#[derive(Clone, Debug)]
enum Step {
    /// Entries that share a batch, each a transaction.
    Write(Vec<Vec<WriteOp>>),
    Compact(u8),
    RunCompaction(u8),
    Reopen,
    Range(RangeRequest, u8),
    Hash(u8),
    Watch {
        stream: usize,
        request: WatchCreateRequest,
        start: Option<u8>,
    },
    Cancel {
        stream: usize,
        position: usize,
    },
    Progress(usize),
    Serve,
    CatchUp(u8),
    Receive {
        stream: usize,
        n: usize,
    },
}

fn key() -> impl Strategy<Value = Bytes> {
    const KEYS: &[&str] = &["a", "b", "ba", "b\0", "c", "d"];
    proptest::sample::select(KEYS).prop_map(|key| Bytes::from_static(key.as_bytes()))
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(Bytes::new()), Just(Bytes::from_static(&[0])), key()]
}

fn write_op() -> impl Strategy<Value = WriteOp> {
    let put = (key(), 0..4u8, 0..3i64).prop_map(|(key, value, lease)| WriteOp::Put {
        key,
        value: Bytes::from(vec![b'v'; value.into()]),
        lease,
    });
    let delete =
        (key(), range_end()).prop_map(|(key, range_end)| WriteOp::Delete { key, range_end });
    prop_oneof![3 => put, 1 => delete]
}

/// What `api` lets through: no key is put twice, and none is put that is deleted.
fn txn() -> impl Strategy<Value = Vec<WriteOp>> {
    vec(write_op(), 1..4).prop_map(|ops| {
        let mut allowed: Vec<WriteOp> = Vec::new();
        for op in ops {
            let clashes = allowed.iter().any(|other| match (&op, other) {
                (WriteOp::Put { key, .. }, WriteOp::Put { key: other, .. }) => key == other,
                (WriteOp::Put { key, .. }, WriteOp::Delete { key: start, range_end })
                | (WriteOp::Delete { key: start, range_end }, WriteOp::Put { key, .. }) => {
                    contains(key, start, range_end)
                }
                (WriteOp::Delete { .. }, WriteOp::Delete { .. }) => false,
            });
            if !clashes {
                allowed.push(op);
            }
        }
        allowed
    })
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    let bound = || prop_oneof![3 => Just(0), 1 => 1..12i64];
    let shape = (key(), range_end(), -1..4i64, any::<bool>(), any::<bool>());
    let order = (0..3i32, 0..5i32);
    (shape, order, bound(), bound(), bound(), bound()).prop_map(|(shape, order, a, b, c, d)| {
        RangeRequest {
            key: shape.0,
            range_end: shape.1,
            limit: shape.2,
            keys_only: shape.3,
            count_only: shape.3 && shape.4,
            sort_order: order.0,
            sort_target: order.1,
            min_mod_revision: a,
            max_mod_revision: b,
            min_create_revision: c,
            max_create_revision: d,
            ..RangeRequest::default()
        }
    })
}

fn watch_request() -> impl Strategy<Value = WatchCreateRequest> {
    let filters = prop_oneof![4 => Just(vec![]), 1 => Just(vec![0]), 1 => Just(vec![1])];
    let parts = (key(), range_end(), filters, any::<bool>());
    parts.prop_map(|(key, range_end, filters, prev_kv)| WatchCreateRequest {
        key,
        range_end,
        filters,
        prev_kv,
        ..WatchCreateRequest::default()
    })
}

const N_STREAMS: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let stream = || 0..N_STREAMS;
    let start = proptest::option::of(any::<u8>());
    prop_oneof![
        12 => vec(txn(), 1..4).prop_map(Step::Write),
        2 => any::<u8>().prop_map(Step::Compact),
        4 => (0..20u8).prop_map(Step::RunCompaction),
        1 => Just(Step::Reopen),
        6 => (range_request(), any::<u8>()).prop_map(|(request, at)| Step::Range(request, at)),
        3 => any::<u8>().prop_map(Step::Hash),
        4 => (stream(), watch_request(), start)
            .prop_map(|(stream, request, start)| Step::Watch { stream, request, start }),
        1 => (stream(), 0..8usize).prop_map(|(stream, position)| Step::Cancel { stream, position }),
        2 => stream().prop_map(Step::Progress),
        4 => Just(Step::Serve),
        4 => (1..6u8).prop_map(Step::CatchUp),
        6 => (stream(), 1..12usize).prop_map(|(stream, n)| Step::Receive { stream, n }),
    ]
}

/// A watcher as its client knows it.
#[derive(Clone, Debug)]
struct ModelWatcher {
    request: WatchCreateRequest,
    /// The next revision it has to be shown, `None` until it is told that it exists.
    next: Option<i64>,
    asked_start: i64,
}

struct Run {
    harness: Harness,
    model: Model,
    streams: Vec<WatchStream>,
    watchers: Vec<BTreeMap<i64, ModelWatcher>>,
}

fn share(of: i64, share: u8) -> i64 {
    of * i64::from(share) / 255
}

impl Run {
    fn on(engine: EngineKind) -> Run {
        let limits = WatchLimits {
            queue_deliveries_max: 5,
            queue_bytes_max: 300,
            all_queues_bytes_max: 700,
            extra_messages_max: 1,
            recent_revisions_max: 6,
            recent_bytes_max: 4000,
            serve_revisions_max: 2,
            stretch_revisions_max: 3,
            stretch_rows_max: 4,
            stretch_bytes_max: 64,
            message_bytes_max: 100,
            sprint_revisions_max: 2,
        };
        let harness = Harness::on(engine, limits);
        let streams = (0..N_STREAMS).map(|_| harness.store.watch_stream()).collect();
        let watchers = vec![BTreeMap::new(); N_STREAMS];
        Run { harness, model: Model::new(), streams, watchers }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(entries) => self.write(&entries),
            Step::Compact(at) => self.compact(share(self.model.revision() + 1, at)),
            Step::RunCompaction(n) => self.run_compaction(n),
            Step::Reopen => self.reopen(),
            Step::Range(request, at) => {
                let revision = share(self.model.revision() + 2, at);
                self.check_range(&RangeRequest { revision, ..request });
            }
            Step::Hash(at) => self.check_hash(share(self.model.revision() + 1, at)),
            Step::Watch { stream, mut request, start } => {
                let revision = self.model.revision();
                request.start_revision = start.map_or(0, |start| share(revision + 3, start));
                self.watch(stream, request);
            }
            Step::Cancel { stream, position } => self.cancel(stream, position),
            Step::Progress(stream) => self.streams[stream].request_progress(),
            Step::Serve => self.harness.store.hub.step_fan_out(&self.harness.store),
            Step::CatchUp(n) => {
                for _ in 0..n {
                    self.harness.store.hub.step_catch_up(&self.harness.store);
                }
            }
            Step::Receive { stream, n } => {
                for _ in 0..n {
                    let Some(delivery) = self.streams[stream].try_recv() else { break };
                    self.check_delivery(stream, delivery);
                }
            }
        }
    }

    fn write(&mut self, entries: &[Vec<WriteOp>]) {
        let mut batch = self.harness.batch();
        for ops in entries {
            self.model.apply(ops);
            let mut txn = self.harness.writer.txn(&mut batch);
            for op in ops {
                match op.clone() {
                    WriteOp::Put { key, value, lease } => txn.put(key, value, lease),
                    WriteOp::Delete { key, range_end } => {
                        txn.delete_range(&KeyRange::new(key, range_end));
                    }
                }
            }
            let everything = RangeRequest { limit: 2, ..request("\0", "\0") };
            let own = txn.range(&everything).unwrap();
            assert_eq!((own.kvs, own.more, own.count), self.model.range(&everything));
            assert_eq!(txn.finish().revision, self.model.revision());
        }
        assert_eq!(self.harness.publish(batch), self.model.revision());
    }

    fn compact(&mut self, at: i64) {
        let mut batch = self.harness.batch();
        let outcome = self.harness.writer.compact(&mut batch, at);
        self.harness.publish(batch);
        if at <= self.model.compact {
            assert_eq!(outcome, Err(EtcdError::Compacted));
        } else if at > self.model.revision() {
            assert_eq!(outcome, Err(EtcdError::FutureRevision));
        } else {
            assert_eq!(outcome, Ok(()));
            self.model.compact(at);
        }
    }

    fn run_compaction(&mut self, n_steps: u8) {
        for _ in 0..n_steps {
            let Some(compaction) = self.harness.compactions.first_mut() else { return };
            if compaction.step(NonZeroUsize::new(2).unwrap()).unwrap() == Progress::Done {
                self.model.finished = compaction.revision();
                self.harness.compactions.remove(0);
            }
        }
    }

    /// Clients reconnect and resume where they were.
    fn reopen(&mut self) {
        self.streams.clear();
        self.harness.reopen();
        self.model.hashes.clear();
        let store = &self.harness.store;
        self.streams = (0..N_STREAMS).map(|_| store.watch_stream()).collect();
        for (stream, old) in std::mem::take(&mut self.watchers).into_iter().enumerate() {
            self.watchers.push(BTreeMap::new());
            for watcher in old.into_values() {
                let start_revision = watcher.next.unwrap_or(watcher.asked_start);
                self.watch(stream, WatchCreateRequest { start_revision, ..watcher.request });
            }
        }
    }

    fn check_range(&self, request: &RangeRequest) {
        let outcome = self.harness.store.range(request);
        let refusal = outcome.as_ref().err().and_then(MvccError::refusal);
        if request.revision > self.model.revision() {
            assert_eq!(refusal, Some(EtcdError::FutureRevision));
        } else if request.revision > 0 && request.revision < self.model.compact {
            assert_eq!(refusal, Some(EtcdError::Compacted));
        } else {
            let result = outcome.unwrap();
            assert_eq!(result.revision, self.model.revision());
            let expected = self.model.range(request);
            assert_eq!((result.kvs, result.more, result.count), expected, "{request:?}");
        }
    }

    fn check_hash(&self, at: i64) {
        let outcome = self.harness.store.hash_kv(at);
        let is_remembered = self.model.hashes.iter().any(|hash| hash.hash_revision == at);
        if at > self.model.revision() {
            assert_eq!(outcome.unwrap_err().refusal(), Some(EtcdError::FutureRevision));
        } else if at > 0 && at < self.model.compact && !is_remembered {
            assert_eq!(outcome.unwrap_err().refusal(), Some(EtcdError::Compacted));
        } else {
            let expected = match at {
                0 => self.model.hash_kv_now(),
                _ => self.model.hash_kv(at),
            };
            assert_eq!(outcome.unwrap(), expected);
        }
    }

    fn watch(&mut self, stream: usize, request: WatchCreateRequest) {
        let Ok(create) = WatchCreate::from_request(&request) else {
            assert!(request.key >= request.range_end);
            return;
        };
        let id = self.streams[stream].create(create).unwrap();
        let asked_start = match request.start_revision {
            0 => self.model.revision() + 1,
            start => start,
        };
        let watcher = ModelWatcher { request, next: None, asked_start };
        assert!(self.watchers[stream].insert(id, watcher).is_none());
    }

    fn cancel(&mut self, stream: usize, position: usize) {
        let Some(id) = self.watchers[stream].keys().nth(position).copied() else { return };
        self.streams[stream].cancel(id);
    }
}

mod check;

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::with_cases(1000) })]

    /// Whatever happens in whatever order, the store answers like the model and every watcher sees what it should.
    #[test]
    fn the_store_behaves_like_the_model(steps in vec(step(), 1..60)) {
        let mut run = Run::on(EngineKind::Memory);
        for step in steps {
            run.step(step);
        }
        run.check_the_end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(25) })]

    /// The same holds where rows lie on disk and reopening means closing the database and opening it again.
    #[test]
    fn the_store_behaves_like_the_model_on_disk(steps in vec(step(), 1..60)) {
        let mut run = Run::on(EngineKind::Redb);
        for step in steps {
            run.step(step);
        }
        run.check_the_end();
    }
}
