//! One watcher: what it wants, where it stands, and how events reach its stream. The hub decides when.

use super::delivery::{Delivery, DeliveryBody};
use super::events::{EncodedEvents, Previous, RevisionEvents};
use super::queue::Queue;
use super::stream::WatchCreate;
use crate::mvcc::{ChangeKind, KeyRange, Store};
use std::collections::HashMap;
use std::sync::Arc;

/// Names a watcher for as long as the process lives; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatcherKey(u64);

impl WatcherKey {
    pub(super) fn new(number: u64) -> WatcherKey {
        WatcherKey(number)
    }
}

/// Names a stream for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StreamKey(u64);

impl StreamKey {
    pub(super) fn new(number: u64) -> StreamKey {
        StreamKey(number)
    }
}

/// What a watcher wants to see.
#[derive(Clone, Debug)]
pub(super) struct Interest {
    pub(super) range: KeyRange,
    pub(super) no_put: bool,
    pub(super) no_delete: bool,
    pub(super) prev_kv: bool,
}

impl Interest {
    fn wants(&self, kind: ChangeKind) -> bool {
        match kind {
            ChangeKind::Put => !self.no_put,
            ChangeKind::Delete => !self.no_delete,
        }
    }

    /// The changes of a revision that the watcher wants, encoded.
    pub(super) fn select(
        &self,
        events: &RevisionEvents,
        store: &Store,
    ) -> Option<Arc<EncodedEvents>> {
        let changes = events.changes().iter().enumerate();
        let hits = changes.filter(|(_, change)| self.range.contains(&change.kv.key));
        let hits: Vec<usize> = hits.map(|(position, _)| position).collect();
        self.encode(events, &hits, store)
    }

    /// Encodes those changes among `hits`, which are in the range, that pass the filters.
    pub(super) fn encode(
        &self,
        events: &RevisionEvents,
        hits: &[usize],
        store: &Store,
    ) -> Option<Arc<EncodedEvents>> {
        let find = |key: &[u8], revision| store.pair_before(key, revision);
        let previous: Option<Previous<'_>> = if self.prev_kv { Some(&find) } else { None };
        if !self.no_put && !self.no_delete {
            return (!hits.is_empty()).then(|| events.encode(hits, previous));
        }
        let wanted = hits.iter().copied();
        let wanted = wanted.filter(|position| self.wants(events.changes()[*position].kind));
        let wanted: Vec<usize> = wanted.collect();
        (!wanted.is_empty()).then(|| events.encode(&wanted, previous))
    }
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) stream: StreamKey,
    pub(super) queue: Arc<Queue>,
    pub(super) id: i64,
    pub(super) interest: Interest,
    /// The first revision that the watcher wants; may lie in the future.
    pub(super) start: i64,
    /// The start revision as the client sent it; 0 for "from now", which is reached at once.
    asked_start: i64,
    /// While behind: the next revision to show.
    pub(super) next: i64,
    /// Whether the watcher is in the registry and misses nothing up to `State::served`.
    pub(super) is_synced: bool,
    may_fragment: bool,
    wants_progress: bool,
    /// Whether events were sent since the last tick of the progress timer.
    was_busy: bool,
}

impl Watcher {
    /// A watcher that is behind for now.
    pub(super) fn new(
        stream: StreamKey,
        queue: Arc<Queue>,
        id: i64,
        start: i64,
        request: WatchCreate,
    ) -> Watcher {
        Watcher {
            stream,
            queue,
            id,
            interest: request.interest,
            start,
            asked_start: request.start_revision,
            next: start,
            is_synced: false,
            may_fragment: request.may_fragment,
            wants_progress: request.progress_notify,
            was_busy: false,
        }
    }

    /// Whether the watcher misses nothing up to `served` and did not ask to begin above it
    /// (`etcd:server/storage/mvcc/watchable_store.go`, progressIfSync).
    pub(super) fn is_current(&self, served: i64) -> bool {
        self.is_synced && self.asked_start <= served
    }

    /// Whether the progress timer concerns this watcher; a busy one is passed over once.
    pub(super) fn take_progress_due(&mut self) -> bool {
        let was_busy = std::mem::take(&mut self.was_busy);
        self.wants_progress && !was_busy
    }

    /// Puts events into the stream's queue; false where it is full and the watcher now waits for room.
    pub(super) fn send(
        &mut self,
        key: WatcherKey,
        events: Arc<EncodedEvents>,
        revision: i64,
    ) -> bool {
        let body = DeliveryBody::Events { events, may_fragment: self.may_fragment };
        let is_sent = self.queue.push_events(key, Delivery { watch_id: self.id, revision, body });
        self.was_busy |= is_sent;
        is_sent
    }
}

/// The watchers of a stream by the ids that its client knows.
#[derive(Debug, Default)]
pub(super) struct StreamIds {
    pub(super) watchers: HashMap<i64, WatcherKey>,
    /// Progress was asked for while a watcher was behind: it is told once all have caught up.
    pub(super) owes_progress: bool,
    next_id: i64,
}

impl StreamIds {
    /// The id that is asked for, or the next free one for 0.
    pub(super) fn allot(&mut self, asked: i64) -> Option<i64> {
        if asked != 0 {
            return (!self.watchers.contains_key(&asked)).then_some(asked);
        }
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }
}
