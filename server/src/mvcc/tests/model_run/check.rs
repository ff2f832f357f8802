//! What is true of every message to a watcher, and of everything in the end.

use super::*;

impl Run {
    /// Checks one message: order, completeness, atomicity, previous pairs, and what progress promises.
    pub(super) fn check_delivery(&mut self, stream: usize, delivery: Delivery) {
        if delivery.body == DeliveryBody::Progress {
            return self.check_progress(stream, &delivery);
        }
        let watchers = &mut self.watchers[stream];
        let watcher = watchers.get_mut(&delivery.watch_id);
        let watcher = watcher.expect("messages are for watchers that exist");
        match delivery.body {
            DeliveryBody::Created => {
                assert_eq!(watcher.next, None, "created comes once and first");
                let from_now = delivery.revision + 1;
                let is_from_now = watcher.request.start_revision == 0;
                watcher.next = Some(if is_from_now { from_now } else { watcher.asked_start });
                assert_eq!(watcher.next, Some(watcher.asked_start));
            }
            DeliveryBody::Canceled => {
                watchers.remove(&delivery.watch_id);
            }
            DeliveryBody::Compacted { compact_revision } => {
                assert!(watcher.next.unwrap() < compact_revision);
                assert!(compact_revision <= self.model.compact);
                assert_eq!(delivery.revision, 0);
                watchers.remove(&delivery.watch_id);
            }
            DeliveryBody::Events { events, .. } => {
                let events = events.decode().unwrap();
                let next = watcher.next.expect("events come after created");
                let last = events.last().unwrap().kv.as_ref().unwrap().mod_revision;
                let expected = expected_events(&self.model, &watcher.request, next, last);
                assert_eq!(events.len(), expected.len(), "complete, unique, whole revisions");
                assert!(delivery.revision >= last && delivery.revision <= self.model.revision());
                for (event, expected) in events.iter().zip(expected) {
                    check_event(&self.model, event, expected, watcher.request.prev_kv);
                }
                watcher.next = Some(last + 1);
            }
            DeliveryBody::Progress => unreachable!("handled above"),
        }
    }

    /// Progress promises that every watcher of the stream has everything up to the revision.
    fn check_progress(&mut self, stream: usize, delivery: &Delivery) {
        assert_eq!(delivery.watch_id, -1);
        let revision = delivery.revision;
        for watcher in self.watchers[stream].values_mut() {
            // A watcher that was asked for after the progress has not been told of itself yet.
            let Some(next) = watcher.next else { continue };
            let missing = expected_events(&self.model, &watcher.request, next, revision);
            assert!(missing.is_empty(), "progress {revision} before {missing:?}");
            watcher.next = Some(next.max(revision + 1));
        }
    }

    /// Lets everything come to rest and checks all that can be asked.
    pub(super) fn check_the_end(mut self) {
        loop {
            self.harness.settle_watches();
            let mut n_received = 0;
            for stream in 0..N_STREAMS {
                while let Some(delivery) = self.streams[stream].try_recv() {
                    n_received += 1;
                    self.check_delivery(stream, delivery);
                }
            }
            if n_received == 0 {
                break;
            }
        }
        for watcher in self.watchers.iter().flat_map(BTreeMap::values) {
            let next = watcher.next.expect("every watcher is told that it exists");
            let missing =
                expected_events(&self.model, &watcher.request, next, self.model.revision());
            assert!(missing.is_empty(), "never shown: {missing:?}");
        }
        let counters = Arc::clone(self.harness.store.counters());
        assert_eq!(counters.slow_watchers.get(), 0);
        assert_eq!(counters.pending_events.get(), 0);
        self.check_states();
        self.run_compaction(u8::MAX);
        self.run_compaction(u8::MAX);
        self.check_states();
        self.check_rows();
        self.reopen();
        self.check_states();
        self.streams.clear();
        assert_eq!(self.harness.store.counters().watchers.get(), 0);
        assert_eq!(self.harness.store.counters().slow_watchers.get(), 0);
        assert_eq!(self.harness.store.counters().watch_streams.get(), 0);
    }

    /// Reads, hashes, leases and the count of keys, at every revision that can be read.
    fn check_states(&self) {
        let revision = self.model.revision();
        for at in self.model.compact.max(1)..=revision {
            self.check_range(&RangeRequest { revision: at, ..request("\0", "\0") });
            self.check_range(&RangeRequest {
                revision: at,
                keys_only: true,
                ..request("\0", "\0")
            });
            self.check_hash(at);
        }
        self.check_hash(0);
        let state = self.model.state(revision);
        assert_eq!(self.harness.store.counters().keys.get(), state.len() as i64);
        let mut leased = Vec::new();
        self.harness.store.for_each_leased(|key, lease| leased.push((key.to_vec(), lease)));
        let expected = state.values().filter(|pair| pair.lease != 0);
        let expected: Vec<_> = expected.map(|pair| (pair.key.to_vec(), pair.lease)).collect();
        assert_eq!(leased, expected);
    }

    /// With all compactions done, storage holds exactly the rows that the rules leave.
    fn check_rows(&self) {
        let mut rows = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        self.harness.backend.scan(Keyspace::Key, &[], None, &mut visit).unwrap();
        let expected = self.model.rows.iter();
        let expected: Vec<_> =
            expected.map(|row| (row.row_key.clone(), row.value.clone())).collect();
        assert_eq!(rows, expected);
        let finished = self.harness.store.finished_compact_revision();
        assert_eq!(finished, self.model.compact);
    }
}

/// What a watcher should be shown of the revisions `from` to `to`.
fn expected_events<'a>(
    model: &'a Model,
    request: &WatchCreateRequest,
    from: i64,
    to: i64,
) -> Vec<&'a ModelEvent> {
    let events = model.events.iter().filter(|event| {
        event.revision >= from
            && event.revision <= to
            && contains(&event.key, &request.key, &request.range_end)
            && !request.filters.contains(&i32::from(event.pair.is_none()))
    });
    events.collect()
}

fn check_event(
    model: &Model,
    event: &quorate_proto::mvccpb::Event,
    expected: &ModelEvent,
    wants_previous: bool,
) {
    let kv = event.kv.as_ref().unwrap();
    match &expected.pair {
        Some(pair) => {
            assert_eq!(event.r#type(), EventType::Put);
            assert_eq!(kv, pair);
        }
        None => {
            assert_eq!(event.r#type(), EventType::Delete);
            let key = expected.key.clone();
            let mod_revision = expected.revision;
            assert_eq!(
                *kv,
                quorate_proto::mvccpb::KeyValue { key, mod_revision, ..Default::default() }
            );
        }
    }
    let before = expected.revision - 1;
    let previous = model.state(before).get(&expected.key).filter(|_| wants_previous);
    match (&event.prev_kv, previous) {
        (None, Some(_)) => assert!(before < model.compact, "prev_kv is missing"),
        (found, previous) => assert_eq!(found.as_ref(), previous),
    }
}
