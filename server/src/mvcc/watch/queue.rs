//! The queue between the hub and one connection. Full means that a watcher waits in history, not that anyone waits for
//! the connection.

use super::watcher::WatcherKey;
use super::{Delivery, WatchLimits};
use crate::mvcc::Counters;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Pause before a connection asks again that got nothing for want of room.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Messages in order, and the watchers that wait for room.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    ready: Notify,
    limits: WatchLimits,
    counters: Arc<Counters>,
    extra: Arc<ExtraPlaces>,
}

#[derive(Debug, Default)]
struct QueueState {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    /// Watchers that are behind and found the queue full.
    starved: Vec<WatcherKey>,
    /// The connection has taken everything and asked for more.
    is_asked: bool,
    /// Bytes of what it has taken and not handed on yet.
    on_the_way: usize,
    /// It has one of the places for messages that have no room.
    has_extra: bool,
}

/// Places for messages that have no room any more (`WatchLimits::extra_messages_max`).
#[derive(Debug, Default)]
pub(super) struct ExtraPlaces(AtomicUsize);

impl ExtraPlaces {
    fn is_free(&self, limits: &WatchLimits) -> bool {
        self.0.load(Ordering::Relaxed) < limits.extra_messages_max
    }

    fn take(&self, limits: &WatchLimits) -> bool {
        let more = |taken: usize| (taken < limits.extra_messages_max).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl QueueState {
    /// Its own limits are reached.
    fn is_full(&self, limits: &WatchLimits) -> bool {
        self.deliveries.len() >= limits.queue_deliveries_max || self.bytes >= limits.queue_bytes_max
    }

    /// Room enough to be worth reading history for.
    fn is_roomy(&self, limits: &WatchLimits) -> bool {
        self.deliveries.len() <= limits.queue_deliveries_max / 2
            && self.bytes <= limits.queue_bytes_max / 2
    }
}

impl Queue {
    pub(super) fn new(
        limits: WatchLimits,
        counters: Arc<Counters>,
        extra: Arc<ExtraPlaces>,
    ) -> Queue {
        Queue { state: Mutex::default(), ready: Notify::new(), limits, counters, extra }
    }

    /// So much waits for all connections, or is on its way to them, that there is no room for more.
    fn is_crowded(&self) -> bool {
        let all = usize::try_from(self.counters.pending_event_bytes.get());
        all.is_ok_and(|all| all >= self.limits.all_queues_bytes_max)
    }

    /// Adds events, or notes that `watcher` waits for room and returns false.
    pub(super) fn push_events(&self, watcher: WatcherKey, delivery: Delivery) -> bool {
        self.push_if_room(Some(watcher), delivery)
    }

    /// Adds a message that may be left out, if there is room.
    pub(super) fn push_progress(&self, delivery: Delivery) {
        self.push_if_room(None, delivery);
    }

    fn push_if_room(&self, watcher: Option<WatcherKey>, delivery: Delivery) -> bool {
        let mut state = self.state.lock();
        let has_room =
            !state.is_full(&self.limits) && (delivery.bytes() == 0 || self.make_room(&mut state));
        if !has_room {
            self.starve(&mut state, watcher);
            return false;
        }
        self.counters.pending_events.add(delivery.n_events() as i64);
        self.counters.pending_event_bytes.add(delivery.bytes() as i64);
        state.bytes += delivery.bytes();
        state.deliveries.push_back(delivery);
        state.is_asked = false;
        drop(state);
        self.ready.notify_one();
        true
    }

    /// Adds a message that answers a request or ends a watcher. There are at most as many as the client has asked for.
    pub(super) fn push_answer(&self, delivery: Delivery) {
        self.state.lock().deliveries.push_back(delivery);
        self.ready.notify_one();
    }

    /// Where there is a crowd, only a connection that asks gets something, and one thing, from the extra places: if each had
    /// one whatever the others have, those that do not read could fill the memory by their number.
    fn make_room(&self, state: &mut QueueState) -> bool {
        if !self.is_crowded() {
            return true;
        }
        if state.is_asked && !state.has_extra {
            state.has_extra = self.extra.take(&self.limits);
            return state.has_extra;
        }
        false
    }

    /// Notes who waits for room; a connection that asks and gets nothing has to ask again.
    fn starve(&self, state: &mut QueueState, watcher: Option<WatcherKey>) {
        state.starved.extend(watcher);
        if state.is_asked {
            self.ready.notify_one();
        }
    }

    /// Whether there is room; if not, `watcher` is noted as waiting for it.
    pub(super) fn has_room_for(&self, watcher: WatcherKey) -> bool {
        let mut state = self.state.lock();
        let may_have_extra = || state.is_asked && self.extra.is_free(&self.limits);
        let has_room = !state.is_full(&self.limits) && (!self.is_crowded() || may_have_extra());
        if !has_room {
            self.starve(&mut state, Some(watcher));
        }
        has_room
    }

    /// Takes the oldest message, or asks for one; and the watchers that waited for room once there is some.
    pub(super) fn pop(&self) -> (Option<Delivery>, Vec<WatcherKey>) {
        let mut state = self.state.lock();
        // Who takes the next message is done with the last one.
        self.release(&mut state);
        let Some(delivery) = state.deliveries.pop_front() else {
            state.is_asked = true;
            return (None, std::mem::take(&mut state.starved));
        };
        state.bytes -= delivery.bytes();
        state.on_the_way = delivery.bytes();
        let starved = match state.is_roomy(&self.limits) {
            true => std::mem::take(&mut state.starved),
            false => Vec::new(),
        };
        drop(state);
        let n_events = delivery.n_events();
        self.counters.pending_events.add(-(n_events as i64));
        self.counters.events.add(n_events as u64);
        (Some(delivery), starved)
    }

    /// What was taken is with those who send it, and counted there.
    pub(super) fn handed_on(&self) {
        self.release(&mut self.state.lock());
    }

    fn release(&self, state: &mut QueueState) {
        let bytes = std::mem::take(&mut state.on_the_way);
        self.counters.pending_event_bytes.add(-(bytes as i64));
        if bytes > 0 && std::mem::take(&mut state.has_extra) {
            self.extra.give_back();
        }
    }

    /// Waits until there may be a message, or something to ask for again.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
        let is_starved = {
            let state = self.state.lock();
            state.deliveries.is_empty() && !state.starved.is_empty()
        };
        if is_starved {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Number of messages that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().deliveries.len()
    }

    /// Throws all messages away.
    pub(super) fn clear(&self) {
        let mut state = self.state.lock();
        let n_events: usize = state.deliveries.iter().map(Delivery::n_events).sum();
        self.counters.pending_events.add(-(n_events as i64));
        self.counters.pending_event_bytes.add(-(state.bytes as i64));
        self.release(&mut state);
        if state.has_extra {
            self.extra.give_back();
        }
        *state = QueueState::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DeliveryBody, EncodedEvents};
    use super::*;
    use bytes::Bytes;

    fn delivery(bytes: usize) -> Delivery {
        let mut events = EncodedEvents::default();
        events.push(Bytes::from(vec![0; bytes]));
        let body = DeliveryBody::Events { events: Arc::new(events), may_fragment: false };
        Delivery { watch_id: 0, revision: 1, body }
    }

    /// When much waits for all connections together, one that has something waiting gets no more, one that has nothing
    /// and asks gets one message, and one that does not ask gets none; what is taken or thrown away makes room.
    #[test]
    fn all_connections_share_a_limit() {
        let limits = WatchLimits {
            all_queues_bytes_max: 100,
            extra_messages_max: 1,
            ..WatchLimits::default()
        };
        let (counters, extra) = (Arc::new(Counters::default()), Arc::new(ExtraPlaces::default()));
        let [slow, other, third] =
            [0; 3].map(|_| Queue::new(limits, Arc::clone(&counters), Arc::clone(&extra)));
        let watcher = WatcherKey::new(1);
        assert!(slow.push_events(watcher, delivery(60)));
        assert!(slow.push_events(watcher, delivery(60)));
        assert!(!slow.push_events(watcher, delivery(60)));
        assert!(!other.push_events(watcher, delivery(60)));
        let (nothing, starved) = other.pop();
        assert!(nothing.is_none() && starved == [watcher], "who asks has its watchers served");
        assert!(other.push_events(watcher, delivery(60)));
        assert!(!other.push_events(watcher, delivery(60)));
        // There is one extra place, and it is taken until what was taken from it has been handed on.
        assert!(third.pop().0.is_none() && !third.push_events(watcher, delivery(60)));
        assert!(other.pop().0.is_some() && !third.push_events(watcher, delivery(60)));
        other.handed_on();
        assert!(third.push_events(watcher, delivery(60)));
        third.clear();
        slow.clear();
        assert_eq!(counters.pending_event_bytes.get(), 0);
        assert!(other.push_events(watcher, delivery(60)));
        while other.pop().0.is_some() {}
        assert_eq!(counters.pending_event_bytes.get(), 0);
    }
}
