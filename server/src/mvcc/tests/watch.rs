//! Golden behaviour of watches, one rule a test. The hub's threads do not run: the tests do their work step by step.

use super::*;
use crate::mvcc::watch::{
    Delivery, DeliveryBody, WatchCreate, WatchLimits, WatchRefusal, WatchStream, WatchThreads,
};
use quorate_proto::etcdserverpb::WatchCreateRequest;
use quorate_proto::etcdserverpb::watch_create_request::FilterType;
use quorate_proto::mvccpb::Event;
use std::time::Duration;

fn watch(key: &str, range_end: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(range_end.as_bytes()),
        start_revision,
        ..WatchCreateRequest::default()
    }
}

fn create(stream: &WatchStream, request: &WatchCreateRequest) -> Result<i64, WatchRefusal> {
    stream.create(WatchCreate::from_request(request)?)
}

/// Does what the two threads would have done by now, then takes all messages.
fn receive(harness: &Harness, stream: &WatchStream) -> Vec<Delivery> {
    harness.settle_watches();
    std::iter::from_fn(|| stream.try_recv()).collect()
}

fn events(delivery: &Delivery) -> Vec<Event> {
    match &delivery.body {
        DeliveryBody::Events { events, .. } => events.decode().unwrap(),
        other => panic!("expected events, got {other:?}"),
    }
}

/// Key and revision of all events in the messages; other messages are passed over.
fn seen(deliveries: &[Delivery]) -> Vec<(String, i64)> {
    let bodies =
        deliveries.iter().filter(|delivery| matches!(delivery.body, DeliveryBody::Events { .. }));
    let pairs = bodies.flat_map(events).map(|event| {
        let kv = event.kv.unwrap();
        (String::from_utf8(kv.key.to_vec()).unwrap(), kv.mod_revision)
    });
    pairs.collect()
}

/// A watcher without start revision sees what comes after the revision of its created message.
#[test]
fn a_watch_from_now_sees_what_comes_next() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    let stream = harness.store.watch_stream();
    assert_eq!(create(&stream, &watch("a", "", 0)), Ok(0));
    let created = Delivery { watch_id: 0, revision: 2, body: DeliveryBody::Created };
    assert_eq!(receive(&harness, &stream), [created]);
    harness.put("b", "1");
    harness.put("a", "2");
    let deliveries = receive(&harness, &stream);
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].watch_id, deliveries[0].revision), (0, 4));
    let event = &events(&deliveries[0])[0];
    assert_eq!(event.kv.as_ref().unwrap().value, "2");
}

/// A watcher that starts in the past gets the history first, from memory or from rows, then goes on live.
#[test]
fn a_watch_from_the_past_is_complete() {
    let mut harness = Harness::new();
    for n in 0..5 {
        harness.put(["a", "b"][n % 2], "v");
    }
    harness.delete("a", "");
    for is_reopened in [false, true] {
        if is_reopened {
            // Now nothing is in memory.
            harness.reopen();
        }
        let stream = harness.store.watch_stream();
        create(&stream, &watch("a", "", 3)).unwrap();
        create(&stream, &watch("a", "c", 3)).unwrap();
        let deliveries = receive(&harness, &stream);
        let of = |id| {
            let mine = deliveries.iter().filter(|delivery| delivery.watch_id == id);
            seen(&mine.cloned().collect::<Vec<_>>())
        };
        let pairs = |pairs: &[(&str, i64)]| {
            pairs.iter().map(|(key, revision)| ((*key).to_owned(), *revision)).collect::<Vec<_>>()
        };
        assert_eq!(of(0), pairs(&[("a", 4), ("a", 6), ("a", 7)]));
        assert_eq!(of(1), pairs(&[("b", 3), ("a", 4), ("b", 5), ("a", 6), ("a", 7)]));
    }
}

/// All events of a revision come in one message in order, and whoever sees the same ones gets the same encoding.
#[test]
fn a_revision_is_one_message_and_encoded_once() {
    let mut harness = Harness::new();
    let streams = [harness.store.watch_stream(), harness.store.watch_stream()];
    for stream in &streams {
        create(stream, &watch("a", "\0", 0)).unwrap();
    }
    let mut batch = harness.batch();
    let mut txn = harness.writer.txn(&mut batch);
    txn.put("b".into(), "1".into(), 0);
    txn.put("a".into(), "2".into(), 0);
    txn.finish();
    harness.publish(batch);
    let bodies = streams.each_ref().map(|stream| {
        let deliveries = receive(&harness, stream);
        assert_eq!(seen(&deliveries), [("b".to_owned(), 2), ("a".to_owned(), 2)]);
        match &deliveries[1].body {
            DeliveryBody::Events { events, .. } => Arc::clone(events),
            other => panic!("expected events, got {other:?}"),
        }
    });
    assert!(Arc::ptr_eq(&bodies[0], &bodies[1]));
}

/// A start revision in the future is waited for, and counts as not reached for progress.
#[test]
fn a_future_start_waits() {
    let mut harness = Harness::new();
    let stream = harness.store.watch_stream();
    create(&stream, &watch("a", "", 3)).unwrap();
    harness.put("a", "1");
    assert_eq!(receive(&harness, &stream).len(), 1);
    stream.request_progress();
    assert_eq!(receive(&harness, &stream), []);
    harness.put("a", "2");
    assert_eq!(seen(&receive(&harness, &stream)), [("a".to_owned(), 3)]);
}

/// A start below the compact revision is created, then ended with the compact revision and header revision 0.
#[test]
fn a_compacted_start_is_created_then_ended() {
    let mut harness = Harness::new();
    for value in ["1", "2", "3"] {
        harness.put("a", value);
    }
    harness.compact(3);
    let stream = harness.store.watch_stream();
    create(&stream, &watch("a", "", 2)).unwrap();
    let deliveries = receive(&harness, &stream);
    assert_eq!(deliveries[0].body, DeliveryBody::Created);
    let ended = DeliveryBody::Compacted { compact_revision: 3 };
    assert_eq!(deliveries[1], Delivery { watch_id: 0, revision: 0, body: ended });
    assert!(!stream.cancel(0));
    // The compact revision itself can be watched.
    create(&stream, &watch("a", "", 3)).unwrap();
    assert_eq!(seen(&receive(&harness, &stream)), [("a".to_owned(), 3), ("a".to_owned(), 4)]);
}

/// Filters drop events by kind; a message that would be empty is not sent.
#[test]
fn filters_drop_kinds_of_events() {
    let mut harness = Harness::new();
    let stream = harness.store.watch_stream();
    let filtered = |filter: FilterType| WatchCreateRequest {
        filters: vec![filter.into()],
        ..watch("a", "", 0)
    };
    let no_put = create(&stream, &filtered(FilterType::Noput)).unwrap();
    let no_delete = create(&stream, &filtered(FilterType::Nodelete)).unwrap();
    receive(&harness, &stream);
    harness.put("a", "1");
    let deliveries = receive(&harness, &stream);
    assert_eq!((deliveries.len(), deliveries[0].watch_id), (1, no_delete));
    harness.delete("a", "");
    let deliveries = receive(&harness, &stream);
    assert_eq!((deliveries.len(), deliveries[0].watch_id), (1, no_put));
}

/// `prev_kv` is the pair before the change; there is none for the put that creates a key, nor below the compaction.
#[test]
fn prev_kv_is_the_pair_before() {
    let mut harness = Harness::new();
    let stream = harness.store.watch_stream();
    let request = WatchCreateRequest { prev_kv: true, ..watch("a", "", 0) };
    create(&stream, &request).unwrap();
    let previous = |deliveries: &[Delivery]| {
        let event = events(deliveries.last().unwrap()).pop().unwrap();
        event.prev_kv.map(|kv| kv.value)
    };
    harness.put("a", "1");
    assert_eq!(previous(&receive(&harness, &stream)), None);
    harness.put("a", "2");
    assert_eq!(previous(&receive(&harness, &stream)), Some("1".into()));
    harness.delete("a", "");
    assert_eq!(previous(&receive(&harness, &stream)), Some("2".into()));
    harness.compact(4);
    harness.run_compactions();
    // What was encoded before may live on in memory; rows tell no more than they should.
    harness.reopen();
    let stream = harness.store.watch_stream();
    create(&stream, &WatchCreateRequest { start_revision: 4, ..request }).unwrap();
    let deliveries = receive(&harness, &stream);
    assert_eq!(seen(&deliveries), [("a".to_owned(), 4)]);
    assert_eq!(previous(&deliveries), None);
}

/// Ids count from 0; a given id is used unless it is taken; empty and negative requests are refused.
#[test]
fn ids_and_refusals_are_etcds() {
    let harness = Harness::new();
    let stream = harness.store.watch_stream();
    let with_id = |watch_id| WatchCreateRequest { watch_id, ..watch("a", "", 0) };
    assert_eq!(create(&stream, &with_id(0)), Ok(0));
    assert_eq!(create(&stream, &with_id(1)), Ok(1));
    assert_eq!(create(&stream, &with_id(0)), Ok(2));
    assert_eq!(create(&stream, &with_id(1)), Err(WatchRefusal::DuplicateId));
    assert!(stream.cancel(1) && !stream.cancel(1));
    assert_eq!(create(&stream, &watch("b", "b", 0)), Err(WatchRefusal::EmptyRange));
    assert_eq!(create(&stream, &watch("b", "", -1)), Err(WatchRefusal::NegativeRevision));
    let reason = WatchRefusal::NegativeRevision.to_string();
    assert_eq!(reason, "etcdserver: mvcc: required revision has been compacted");
}

/// A canceled watcher is told so and sees nothing more.
#[test]
fn a_canceled_watch_is_silent() {
    let mut harness = Harness::new();
    let stream = harness.store.watch_stream();
    create(&stream, &watch("a", "", 0)).unwrap();
    stream.cancel(0);
    harness.put("a", "1");
    let deliveries = receive(&harness, &stream);
    assert_eq!(deliveries.len(), 2);
    assert_eq!(deliveries[1].body, DeliveryBody::Canceled);
    assert_eq!(harness.store.counters().watchers.get(), 0);
}

/// A progress request is answered at once with the store's revision, after the events up to it, if all are caught up.
#[test]
fn progress_follows_the_events() {
    let mut harness = Harness::new();
    let stream = harness.store.watch_stream();
    stream.request_progress();
    assert_eq!(stream.try_recv(), None);
    create(&stream, &watch("a", "", 0)).unwrap();
    receive(&harness, &stream);
    harness.put("a", "1");
    harness.put("b", "1");
    // The threads have not run; the request brings the watchers up to date itself.
    stream.request_progress();
    assert_eq!(seen(&[stream.try_recv().unwrap()]), [("a".to_owned(), 2)]);
    let progress = Delivery { watch_id: -1, revision: 3, body: DeliveryBody::Progress };
    assert_eq!(stream.try_recv(), Some(progress));
    create(&stream, &watch("a", "", 2)).unwrap();
    stream.request_progress();
    assert_eq!(stream.try_recv().unwrap().body, DeliveryBody::Created);
    assert_eq!(stream.try_recv(), None);
}

/// The progress timer tells those who asked for it and were idle since the last time.
#[test]
fn progress_ticks_skip_the_busy() {
    let mut harness = Harness::new();
    let stream = harness.store.watch_stream();
    create(&stream, &WatchCreateRequest { progress_notify: true, ..watch("a", "", 0) }).unwrap();
    create(&stream, &watch("a", "", 0)).unwrap();
    harness.put("a", "1");
    receive(&harness, &stream);
    stream.tick_progress();
    assert_eq!(stream.try_recv(), None);
    stream.tick_progress();
    let progress = Delivery { watch_id: 0, revision: 2, body: DeliveryBody::Progress };
    assert_eq!(receive(&harness, &stream), [progress]);
}

/// A stream that does not listen keeps only a bounded queue, holds nobody up, and misses nothing in the end.
#[test]
fn a_slow_stream_misses_nothing() {
    let queue_deliveries_max = 32;
    let limits = WatchLimits { queue_deliveries_max, ..WatchLimits::default() };
    let mut harness = Harness::with_limits(limits);
    let slow = harness.store.watch_stream();
    let quick = harness.store.watch_stream();
    for stream in [&slow, &quick] {
        create(stream, &watch("a", "", 0)).unwrap();
    }
    let n_puts = 3 * queue_deliveries_max;
    let mut seen_quickly = Vec::new();
    for _ in 0..n_puts {
        harness.put("a", "v");
        seen_quickly.extend(seen(&receive(&harness, &quick)));
        assert!(slow.n_waiting() <= queue_deliveries_max);
    }
    assert_eq!(seen_quickly.len(), n_puts);
    assert_eq!(harness.store.counters().slow_watchers.get(), 1);
    let mut seen_slowly = Vec::new();
    while seen_slowly.len() < n_puts {
        let deliveries = receive(&harness, &slow);
        assert!(!deliveries.is_empty(), "stuck after {} events", seen_slowly.len());
        seen_slowly.extend(seen(&deliveries));
    }
    assert_eq!(seen_slowly, seen_quickly);
    harness.settle_watches();
    assert_eq!(harness.store.counters().slow_watchers.get(), 0);
    assert_eq!(harness.store.counters().pending_events.get(), 0);
}

/// With the threads running, a receiver that waits is woken for live events and for history.
#[test]
fn threads_wake_receivers() {
    let mut harness = Harness::new();
    harness.put("a", "1");
    let _threads = WatchThreads::spawn(&harness.store).unwrap();
    let stream = Arc::new(harness.store.watch_stream());
    create(&stream, &watch("a", "", 2)).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let listener = Arc::clone(&stream);
    let listening = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                sender.send(listener.recv().await).unwrap();
            }
        });
    });
    let next = || receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(next().body, DeliveryBody::Created);
    assert_eq!(seen(&[next()]), [("a".to_owned(), 2)]);
    harness.put("a", "2");
    assert_eq!(seen(&[next()]), [("a".to_owned(), 3)]);
    listening.join().unwrap();
}
