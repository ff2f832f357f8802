//! The queue between the hub and one connection. Full means that a watcher waits in history, not that anyone waits for
//! the connection.

use super::watcher::WatcherKey;
use super::{Delivery, WatchLimits};
use crate::mvcc::Counters;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// Messages in order, and the watchers that wait for room.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    ready: Notify,
    limits: WatchLimits,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct QueueState {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    /// Watchers that are behind and found the queue full.
    starved: Vec<WatcherKey>,
}

impl QueueState {
    /// `all_bytes` wait for all connections. Each may have one message whatever the others have, or a few that do not
    /// read could starve the rest.
    fn is_full(&self, limits: &WatchLimits, all_bytes: i64) -> bool {
        let is_crowded =
            usize::try_from(all_bytes).is_ok_and(|all| all >= limits.all_queues_bytes_max);
        self.deliveries.len() >= limits.queue_deliveries_max
            || self.bytes >= limits.queue_bytes_max
            || (self.bytes > 0 && is_crowded)
    }

    /// Room enough to be worth reading history for.
    fn is_roomy(&self, limits: &WatchLimits) -> bool {
        self.deliveries.len() <= limits.queue_deliveries_max / 2
            && self.bytes <= limits.queue_bytes_max / 2
    }
}

impl Queue {
    pub(super) fn new(limits: WatchLimits, counters: Arc<Counters>) -> Queue {
        Queue { state: Mutex::default(), ready: Notify::new(), limits, counters }
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
        if state.is_full(&self.limits, self.counters.pending_event_bytes.get()) {
            state.starved.extend(watcher);
            return false;
        }
        self.counters.pending_events.add(delivery.n_events() as i64);
        self.counters.pending_event_bytes.add(delivery.bytes() as i64);
        state.bytes += delivery.bytes();
        state.deliveries.push_back(delivery);
        drop(state);
        self.ready.notify_one();
        true
    }

    /// Adds a message that answers a request or ends a watcher. There are at most as many as the client has asked for.
    pub(super) fn push_answer(&self, delivery: Delivery) {
        self.state.lock().deliveries.push_back(delivery);
        self.ready.notify_one();
    }

    /// Whether there is room; if not, `watcher` is noted as waiting for it.
    pub(super) fn has_room_for(&self, watcher: WatcherKey) -> bool {
        let mut state = self.state.lock();
        let has_room = !state.is_full(&self.limits, self.counters.pending_event_bytes.get());
        if !has_room {
            state.starved.push(watcher);
        }
        has_room
    }

    /// Takes the oldest message, and the watchers that waited for room once there is some.
    pub(super) fn pop(&self) -> Option<(Delivery, Vec<WatcherKey>)> {
        let mut state = self.state.lock();
        let delivery = state.deliveries.pop_front()?;
        state.bytes -= delivery.bytes();
        self.counters.pending_event_bytes.add(-(delivery.bytes() as i64));
        let starved = match state.is_roomy(&self.limits) {
            true => std::mem::take(&mut state.starved),
            false => Vec::new(),
        };
        drop(state);
        let n_events = delivery.n_events();
        self.counters.pending_events.add(-(n_events as i64));
        self.counters.events.add(n_events as u64);
        Some((delivery, starved))
    }

    /// Waits until there may be a message.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
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

    /// When much waits for all connections together, one that has something waiting gets no more, and one that has
    /// nothing gets one message; what is taken or thrown away makes room.
    #[test]
    fn all_connections_share_a_limit() {
        let limits = WatchLimits { all_queues_bytes_max: 100, ..WatchLimits::default() };
        let counters = Arc::new(Counters::default());
        let [slow, other] = [0, 1].map(|_| Queue::new(limits, Arc::clone(&counters)));
        let watcher = WatcherKey::new(1);
        assert!(slow.push_events(watcher, delivery(60)));
        assert!(slow.push_events(watcher, delivery(60)));
        assert!(!slow.push_events(watcher, delivery(60)));
        assert!(other.push_events(watcher, delivery(60)));
        assert!(!other.push_events(watcher, delivery(60)));
        slow.clear();
        assert_eq!(counters.pending_event_bytes.get(), 60);
        assert!(other.push_events(watcher, delivery(60)));
        while other.pop().is_some() {}
        assert_eq!(counters.pending_event_bytes.get(), 0);
    }
}
