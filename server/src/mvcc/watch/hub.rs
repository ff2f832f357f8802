//! Where published changes and watchers meet. Catching up is in `catch_up`; the face towards a connection in `stream`.

use super::WatchLimits;
use super::delivery::{ALL_WATCHERS, Delivery, DeliveryBody};
use super::events::RevisionEvents;
use super::queue::{ExtraPlaces, Queue};
use super::recent::Recent;
use super::registry::Registry;
use super::stream::{WatchCreate, WatchRefusal};
use super::watcher::{StreamIds, StreamKey, Watcher, WatcherKey};
use crate::mvcc::{Changes, Counters, KeyRange, Store};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct State {
    /// The revision up to which all synced watchers have what they want in their queues.
    pub(super) served: i64,
    pub(super) watchers: HashMap<WatcherKey, Watcher>,
    pub(super) synced: Registry,
    streams: HashMap<StreamKey, StreamIds>,
    last_key: u64,
    /// Scratch space of [`Hub::fan_out`].
    hits: Vec<(WatcherKey, usize)>,
}

/// See the module's door.
#[derive(Debug)]
pub(in crate::mvcc) struct Hub {
    pub(super) state: Mutex<State>,
    pub(super) recent: Mutex<Recent>,
    /// Told when there is something new in `recent`.
    published: Condvar,
    /// Watchers to catch up, in turn.
    pub(super) behind: Mutex<VecDeque<WatcherKey>>,
    has_behind: Condvar,
    /// So that publishing wakes nobody when nobody watches.
    n_watchers: AtomicUsize,
    is_closed: AtomicBool,
    pub(super) limits: WatchLimits,
    counters: Arc<Counters>,
    extra_places: Arc<ExtraPlaces>,
}

impl Hub {
    pub(in crate::mvcc) fn new(head: i64, limits: WatchLimits, counters: Arc<Counters>) -> Hub {
        let state = State {
            served: head,
            watchers: HashMap::new(),
            synced: Registry::default(),
            streams: HashMap::new(),
            last_key: 0,
            hits: Vec::new(),
        };
        Hub {
            state: Mutex::new(state),
            recent: Mutex::new(Recent::new(head, limits)),
            published: Condvar::new(),
            behind: Mutex::default(),
            has_behind: Condvar::new(),
            n_watchers: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            limits,
            counters,
            extra_places: Arc::default(),
        }
    }

    /// Places that all queues share.
    pub(super) fn extra_places(&self) -> Arc<ExtraPlaces> {
        Arc::clone(&self.extra_places)
    }

    /// Takes the changes of published transactions and returns at once; `make_visible` shows them to readers.
    ///
    /// Both happen under one lock: who has read a revision and then asks for progress is told of that revision.
    pub(in crate::mvcc) fn publish(&self, changes: Vec<Arc<Changes>>, make_visible: impl FnOnce()) {
        let mut recent = self.recent.lock();
        make_visible();
        changes.into_iter().for_each(|changes| recent.push(RevisionEvents::new(changes)));
        drop(recent);
        if self.n_watchers.load(Ordering::SeqCst) > 0 {
            self.published.notify_one();
        }
    }

    /// Shows synced watchers everything that is published.
    pub(super) fn serve_all(&self, state: &mut State, store: &Store) {
        while self.serve_some(state, store) {}
    }

    /// Shows synced watchers the next few revisions. Returns false when there is nothing left.
    fn serve_some(&self, state: &mut State, store: &Store) -> bool {
        let (head, events) = {
            let recent = self.recent.lock();
            match state.synced.is_empty() {
                true => (recent.head(), Some(Vec::new())),
                false => {
                    (recent.head(), recent.since(state.served + 1, self.limits.serve_revisions_max))
                }
            }
        };
        match events {
            // Memory no longer reaches back to where the watchers are: whoever is concerned reads history.
            None => self.leave_behind(state, head),
            Some(events) if events.is_empty() => state.served = head,
            Some(events) => {
                for events in &events {
                    self.fan_out(state, events, store);
                    state.served = events.revision();
                }
            }
        }
        state.served < head
    }

    /// Puts the changes of one revision into the queues of all synced watchers that want them.
    fn fan_out(&self, state: &mut State, events: &RevisionEvents, store: &Store) {
        let mut hits = std::mem::take(&mut state.hits);
        for (position, change) in events.changes().iter().enumerate() {
            state.synced.find(&change.kv.key, |watcher| hits.push((watcher, position)));
        }
        if events.changes().len() > 1 {
            hits.sort_unstable();
        }
        let mut positions = Vec::new();
        for of_one in hits.chunk_by(|a, b| a.0 == b.0) {
            positions.clear();
            positions.extend(of_one.iter().map(|hit| hit.1));
            self.show(state, of_one[0].0, events, &positions, store);
        }
        hits.clear();
        state.hits = hits;
    }

    fn show(
        &self,
        state: &mut State,
        key: WatcherKey,
        events: &RevisionEvents,
        hits: &[usize],
        store: &Store,
    ) {
        let Some(watcher) = state.watchers.get_mut(&key) else { return };
        if events.revision() < watcher.start {
            return;
        }
        let Some(encoded) = watcher.interest.encode(events, hits, store) else { return };
        if !watcher.send(key, encoded, events.revision()) {
            watcher.is_synced = false;
            watcher.next = events.revision();
            state.synced.remove(&watcher.interest.range, key);
            self.counters.slow_watchers.add(1);
        }
    }

    /// Lets all synced watchers catch up by reading history.
    fn leave_behind(&self, state: &mut State, head: i64) {
        let (first, mut behind) = (state.served + 1, Vec::new());
        for (key, watcher) in &mut state.watchers {
            if watcher.is_synced && watcher.start <= head {
                watcher.is_synced = false;
                watcher.next = watcher.start.max(first);
                state.synced.remove(&watcher.interest.range, *key);
                behind.push(*key);
            }
        }
        self.counters.slow_watchers.add(behind.len() as i64);
        state.served = head;
        self.enqueue_behind(behind);
    }

    /// Gives watchers a turn at catching up.
    pub(super) fn enqueue_behind(&self, watchers: impl IntoIterator<Item = WatcherKey>) {
        self.behind.lock().extend(watchers);
        self.has_behind.notify_one();
    }

    /// Moves a watcher that has caught up with `State::served` into the registry.
    pub(super) fn enter_synced(&self, state: &mut State, key: WatcherKey) {
        let Some(watcher) = state.watchers.get_mut(&key) else { return };
        watcher.is_synced = true;
        state.synced.add(&watcher.interest.range, key);
        self.counters.slow_watchers.add(-1);
        let (stream, queue) = (watcher.stream, watcher.queue.clone());
        if state.streams.get(&stream).is_some_and(|ids| ids.owes_progress) {
            Self::tell_progress(state, stream, &queue);
        }
    }

    pub(super) fn open_stream(&self) -> StreamKey {
        let mut state = self.state.lock();
        state.last_key += 1;
        let key = StreamKey::new(state.last_key);
        state.streams.insert(key, StreamIds::default());
        self.counters.watch_streams.add(1);
        key
    }

    pub(super) fn close_stream(&self, stream: StreamKey) {
        let mut state = self.state.lock();
        let Some(ids) = state.streams.remove(&stream) else { return };
        for key in ids.watchers.into_values() {
            self.remove_watcher(&mut state, key);
        }
        self.counters.watch_streams.add(-1);
    }

    pub(super) fn create(
        &self,
        stream: StreamKey,
        queue: &Arc<Queue>,
        request: WatchCreate,
        store: &Store,
    ) -> Result<i64, WatchRefusal> {
        let mut state = self.state.lock();
        let state = &mut *state;
        // Counted first: what is published from here on wakes the thread that serves this watcher.
        self.n_watchers.fetch_add(1, Ordering::SeqCst);
        self.serve_all(state, store);
        let Some(id) = state.streams.get_mut(&stream).and_then(|ids| ids.allot(request.watch_id))
        else {
            self.n_watchers.fetch_sub(1, Ordering::SeqCst);
            return Err(WatchRefusal::DuplicateId);
        };
        state.last_key += 1;
        let key = WatcherKey::new(state.last_key);
        if let Some(ids) = state.streams.get_mut(&stream) {
            ids.watchers.insert(id, key);
        }
        let start = match request.start_revision {
            0 => state.served + 1,
            start => start,
        };
        let watcher = Watcher::new(stream, Arc::clone(queue), id, start, request);
        state.watchers.insert(key, watcher);
        self.counters.watchers.add(1);
        self.counters.slow_watchers.add(1);
        let body = DeliveryBody::Created;
        queue.push_answer(Delivery { watch_id: id, revision: state.served, body });
        if start > state.served {
            self.enter_synced(state, key);
        } else {
            self.enqueue_behind([key]);
        }
        Ok(id)
    }

    /// Ends a watcher at the client's wish. Returns false for an id that the stream does not have.
    pub(super) fn cancel(&self, stream: StreamKey, id: i64, queue: &Queue, store: &Store) -> bool {
        let mut state = self.state.lock();
        let ids = state.streams.get_mut(&stream);
        let Some(key) = ids.and_then(|ids| ids.watchers.remove(&id)) else { return false };
        self.remove_watcher(&mut state, key);
        let revision = store.revision();
        queue.push_answer(Delivery { watch_id: id, revision, body: DeliveryBody::Canceled });
        true
    }

    /// What the watchers of a stream watch.
    pub(super) fn ranges(&self, stream: StreamKey) -> Vec<(i64, KeyRange)> {
        let state = self.state.lock();
        let Some(ids) = state.streams.get(&stream) else { return Vec::new() };
        let range = |(id, key): (&i64, &WatcherKey)| {
            Some((*id, state.watchers.get(key)?.interest.range.clone()))
        };
        ids.watchers.iter().filter_map(range).collect()
    }

    /// Ends a watcher whose history is gone.
    pub(super) fn end_compacted(&self, state: &mut State, key: WatcherKey, compact_revision: i64) {
        let Some(watcher) = self.remove_watcher(state, key) else { return };
        if let Some(ids) = state.streams.get_mut(&watcher.stream) {
            ids.watchers.remove(&watcher.id);
        }
        let body = DeliveryBody::Compacted { compact_revision };
        watcher.queue.push_answer(Delivery { watch_id: watcher.id, revision: 0, body });
    }

    fn remove_watcher(&self, state: &mut State, key: WatcherKey) -> Option<Watcher> {
        let watcher = state.watchers.remove(&key)?;
        self.n_watchers.fetch_sub(1, Ordering::SeqCst);
        self.counters.watchers.add(-1);
        if watcher.is_synced {
            state.synced.remove(&watcher.interest.range, key);
        } else {
            self.counters.slow_watchers.add(-1);
        }
        Some(watcher)
    }

    /// Answers a progress request: one message for the whole stream, as soon as none of its watchers misses anything
    /// (`etcd:server/etcdserver/api/v3rpc/watch.go`, deferredWatchProgress).
    pub(super) fn request_progress(&self, stream: StreamKey, queue: &Queue, store: &Store) {
        let mut state = self.state.lock();
        let state = &mut *state;
        self.serve_all(state, store);
        Self::tell_progress(state, stream, queue);
    }

    fn tell_progress(state: &mut State, stream: StreamKey, queue: &Queue) {
        let Some(ids) = state.streams.get_mut(&stream) else { return };
        let is_current = |key| {
            let watcher = state.watchers.get(key);
            watcher.is_some_and(|watcher| watcher.is_current(state.served))
        };
        let is_due = !ids.watchers.is_empty() && ids.watchers.values().all(is_current);
        ids.owes_progress = !is_due;
        if is_due {
            let (watch_id, revision) = (ALL_WATCHERS, state.served);
            queue.push_progress(Delivery { watch_id, revision, body: DeliveryBody::Progress });
        }
    }

    /// Sends progress to the watchers of a stream that asked for it, were idle since the last call and miss nothing.
    pub(super) fn tick_progress(&self, stream: StreamKey, queue: &Queue, store: &Store) {
        let mut state = self.state.lock();
        let state = &mut *state;
        self.serve_all(state, store);
        let Some(ids) = state.streams.get(&stream) else { return };
        for key in ids.watchers.values() {
            let Some(watcher) = state.watchers.get_mut(key) else { continue };
            if watcher.take_progress_due() && watcher.is_current(state.served) {
                let (watch_id, revision) = (watcher.id, state.served);
                queue.push_progress(Delivery { watch_id, revision, body: DeliveryBody::Progress });
            }
        }
    }

    /// Serves synced watchers until the hub is closed. Blocks; for a thread of its own.
    pub(super) fn run_fan_out(&self, store: &Store) {
        let mut served = 0;
        loop {
            {
                let mut recent = self.recent.lock();
                while recent.head() <= served && !self.is_closed() {
                    self.published.wait(&mut recent);
                }
            }
            if self.is_closed() {
                return;
            }
            let mut state = self.state.lock();
            self.serve_some(&mut state, store);
            served = state.served;
        }
    }

    /// Catches watchers up until the hub is closed. Blocks; for a thread of its own.
    pub(super) fn run_catch_up(&self, store: &Store) {
        while !self.is_closed() {
            if !self.catch_up_one(store) {
                let mut behind = self.behind.lock();
                if behind.is_empty() && !self.is_closed() {
                    self.has_behind.wait(&mut behind);
                }
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Does one round of the first loop's work.
    #[cfg(test)]
    pub(in crate::mvcc) fn step_fan_out(&self, store: &Store) {
        self.serve_some(&mut self.state.lock(), store);
    }

    /// Does one round of the second loop's work.
    #[cfg(test)]
    pub(in crate::mvcc) fn step_catch_up(&self, store: &Store) {
        self.catch_up_one(store);
    }

    /// Does the work of both loops until there is nothing left.
    #[cfg(test)]
    pub(in crate::mvcc) fn settle(&self, store: &Store) {
        self.serve_all(&mut self.state.lock(), store);
        while self.catch_up_one(store) {}
    }

    /// Ends the two loops above.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Taken so that nobody is between looking at the flag and waiting.
        drop(self.recent.lock());
        self.published.notify_all();
        drop(self.behind.lock());
        self.has_behind.notify_all();
    }
}
