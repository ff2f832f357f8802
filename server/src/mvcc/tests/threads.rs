//! The room under real threads: a writer, readers, a compactor and watchers that never see a half-made state.

use super::*;
use crate::mvcc::watch::{DeliveryBody, WatchCreate, WatchStream, WatchThreads};
use crate::mvcc::{MvccError, Progress};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::WatchCreateRequest;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread;

/// Transactions of the writer; each puts the number of the transaction under both keys.
const N_TXNS: i64 = 3000;
/// History that the writer leaves at least when it compacts.
const HISTORY: i64 = 20;

fn number(value: &[u8]) -> i64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// Compacts close behind the newest revision, but not under a watcher that is still behind: that would end it.
fn write(harness: &mut Harness, compactions: &mpsc::Sender<Compaction>, seen: &[AtomicI64]) {
    for n in 1..=N_TXNS {
        let mut batch = harness.batch();
        let mut txn = harness.writer.txn(&mut batch);
        for key in ["x", "y"] {
            txn.put(key.into(), n.to_string().into(), 0);
        }
        let revision = txn.finish().revision;
        let slowest = seen.iter().map(|seen| seen.load(Ordering::Relaxed)).min();
        let at = slowest.unwrap_or(i64::MAX).min(revision - HISTORY);
        if n % 50 == 0 && at > harness.store.compact_revision() {
            harness.writer.compact(&mut batch, at).unwrap();
        }
        harness.publish(batch);
        for compaction in harness.compactions.drain(..) {
            compactions.send(compaction).unwrap();
        }
    }
}

/// Reads until the writer is done: both keys always have the same number, now and in the past.
fn read(store: &Store, is_done: &AtomicBool) {
    let both = request("x", "z");
    while !is_done.load(Ordering::Relaxed) {
        let pinned = store.read(|view| {
            let pair = [view.get(b"x")?, view.get(b"y")?];
            Ok((view.revision(), pair.map(|kv| kv.map_or(0, |kv| number(&kv.value)))))
        });
        let (revision, numbers) = pinned.unwrap();
        assert_eq!(numbers, [revision - 1; 2]);
        let now = store.range(&both).unwrap();
        assert_eq!(now.count, if now.revision == 1 { 0 } else { 2 });
        assert!(now.kvs.iter().all(|kv| number(&kv.value) == now.revision - 1));
        let past = RangeRequest { revision: (revision - HISTORY).max(2), ..both.clone() };
        match store.range(&past) {
            Ok(result) => {
                assert!(result.kvs.iter().all(|kv| kv.mod_revision == past.revision));
                assert_eq!(result.kvs.len(), 2);
            }
            Err(MvccError::Refused(EtcdError::Compacted)) => {}
            Err(MvccError::Refused(EtcdError::FutureRevision)) => assert_eq!(revision, 1),
            Err(error) => panic!("{error}"),
        }
        store.hash_kv(0).unwrap();
    }
}

fn watch_stream(store: &Arc<Store>, prev_kv: bool) -> WatchStream {
    let stream = store.watch_stream();
    let range_end = "z".into();
    let request =
        WatchCreateRequest { key: "x".into(), range_end, prev_kv, ..WatchCreateRequest::default() };
    stream.create(WatchCreate::from_request(&request).unwrap()).unwrap();
    stream
}

/// Receives until the last transaction was seen: none is missing, each is whole.
fn watch(stream: &WatchStream, seen_by_watcher: &AtomicI64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut seen = 0;
    while seen < N_TXNS {
        let delivery = runtime.block_on(stream.recv());
        let events = match delivery.body {
            DeliveryBody::Created => continue,
            DeliveryBody::Events { events, .. } => events.decode().unwrap(),
            other => panic!("unexpected {other:?}"),
        };
        for pair in events.chunks(2) {
            seen += 1;
            for event in pair {
                let kv = event.kv.as_ref().unwrap();
                assert_eq!((number(&kv.value), kv.mod_revision), (seen, seen + 1));
                if let Some(previous) = &event.prev_kv {
                    assert_eq!(number(&previous.value), seen - 1);
                }
            }
        }
        seen_by_watcher.store(seen, Ordering::Relaxed);
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Nobody sees a half-made, reordered or missing change while everything goes on at once.
#[test]
fn everything_at_once_is_consistent() {
    let queue_deliveries_max = 16;
    let limits = WatchLimits { queue_deliveries_max, ..WatchLimits::default() };
    let mut harness = Harness::with_limits(limits);
    let store = Arc::clone(&harness.store);
    let _threads = WatchThreads::spawn(&store).unwrap();
    let is_done = AtomicBool::new(false);
    let seen = [const { AtomicI64::new(0) }; 2];
    let (sender, receiver) = mpsc::channel::<Compaction>();
    let limit = NonZeroUsize::new(10).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for mut compaction in receiver {
                while compaction.step(limit).unwrap() == Progress::Working {}
            }
        });
        // Set when this closure ends, by a panic too: the readers must not wait for ever.
        let is_done = SetOnDrop(&is_done);
        for _ in 0..2 {
            scope.spawn(|| read(&store, is_done.0));
        }
        let streams = [false, true].map(|prev_kv| watch_stream(&store, prev_kv));
        let watchers: Vec<_> = streams
            .into_iter()
            .zip(&seen)
            .map(|(stream, seen)| scope.spawn(move || watch(&stream, seen)))
            .collect();
        write(&mut harness, &sender, &seen);
        drop(sender);
        for watcher in watchers {
            watcher.join().unwrap();
        }
    });
    assert_eq!(store.compact_revision(), store.finished_compact_revision());
}
