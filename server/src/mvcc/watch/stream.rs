//! The face of the hub towards one connection: create, cancel, ask for progress, receive.

use super::Delivery;
use super::queue::Queue;
use super::watcher::{Interest, StreamKey};
use crate::mvcc::{KeyRange, Store};
use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::WatchCreateRequest;
use quorate_proto::etcdserverpb::watch_create_request::FilterType;
use std::sync::Arc;

/// A request for a watcher, checked and in the room's own types.
#[derive(Clone, Debug)]
pub struct WatchCreate {
    pub(super) watch_id: i64,
    pub(super) interest: Interest,
    pub(super) start_revision: i64,
    pub(super) progress_notify: bool,
    pub(super) may_fragment: bool,
}

impl WatchCreate {
    /// Reads a client's request. etcd refuses a negative start before it looks at permissions, which it checks on the
    /// interval as it was sent, and an empty interval after that.
    ///
    /// # Errors
    /// The interval is empty or the start revision negative.
    pub fn from_request(request: &WatchCreateRequest) -> Result<WatchCreate, WatchRefusal> {
        if request.start_revision < 0 {
            return Err(WatchRefusal::NegativeRevision);
        }
        // Copies, so that a watcher does not hold on to the buffer that its request came in.
        let key = match request.key.as_ref() {
            [] => Bytes::from_static(&[0]),
            key => Bytes::copy_from_slice(key),
        };
        let range = KeyRange::new(key, Bytes::copy_from_slice(&request.range_end));
        if range.is_empty() {
            return Err(WatchRefusal::EmptyRange);
        }
        let filters = |filter| request.filters.contains(&i32::from(filter));
        Ok(WatchCreate {
            watch_id: request.watch_id,
            interest: Interest {
                range,
                no_put: filters(FilterType::Noput),
                no_delete: filters(FilterType::Nodelete),
                prev_kv: request.prev_kv,
            },
            start_revision: request.start_revision,
            progress_notify: request.progress_notify,
            may_fragment: request.fragment,
        })
    }
}

/// Why a watcher is not created. The client is told by a message with `created`, `canceled` and id -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchRefusal {
    /// The id is in use on the stream.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// The interval ends where it starts, or before.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// The start revision is below zero.
    #[error("{}", EtcdError::Compacted.text())]
    NegativeRevision,
}

/// The watchers of one connection. Dropping it ends them.
///
/// Requests may come from one task and [`WatchStream::recv`] be called from another, but from only one.
#[derive(Debug)]
pub struct WatchStream {
    store: Arc<Store>,
    key: StreamKey,
    queue: Arc<Queue>,
}

impl Store {
    /// Opens a stream without watchers.
    pub fn watch_stream(self: &Arc<Self>) -> WatchStream {
        let queue = Arc::new(Queue::new(
            self.hub.limits,
            Arc::clone(&self.counters),
            self.hub.extra_places(),
        ));
        WatchStream { store: Arc::clone(self), key: self.hub.open_stream(), queue }
    }
}

impl WatchStream {
    /// Creates a watcher and returns its id. Its first message is [`super::DeliveryBody::Created`], whose revision is
    /// the store's: a watcher without start revision sees what comes after it.
    ///
    /// # Errors
    /// The id is in use.
    pub fn create(&self, request: WatchCreate) -> Result<i64, WatchRefusal> {
        self.store.hub.create(self.key, &self.queue, request, &self.store)
    }

    /// Ends a watcher; [`super::DeliveryBody::Canceled`] follows. Returns false, and nothing follows, for an unknown
    /// id.
    pub fn cancel(&self, watch_id: i64) -> bool {
        self.store.hub.cancel(self.key, watch_id, &self.queue, &self.store)
    }

    /// What each watcher watches, by id.
    pub fn ranges(&self) -> Vec<(i64, KeyRange)> {
        self.store.hub.ranges(self.key)
    }

    /// Asks for one progress message for the whole stream. It comes at once, with the store's revision, if the stream
    /// has watchers and all of them are caught up and have reached their start; else nothing comes.
    pub fn request_progress(&self) {
        self.store.hub.request_progress(self.key, &self.queue, &self.store);
    }

    /// To be called at every progress interval: sends a progress message to each watcher that wants them, is caught up
    /// and was sent no events since the last call.
    pub fn tick_progress(&self) {
        self.store.hub.tick_progress(self.key, &self.queue, &self.store);
    }

    /// Waits for the next message. May be dropped and called again without losing one.
    pub async fn recv(&self) -> Delivery {
        loop {
            if let Some(delivery) = self.try_recv() {
                return delivery;
            }
            self.queue.ready().await;
        }
    }

    /// The next message, if there is one.
    pub fn try_recv(&self) -> Option<Delivery> {
        let (delivery, starved) = self.queue.pop();
        if !starved.is_empty() {
            self.store.hub.enqueue_behind(starved);
        }
        delivery
    }

    /// Says that what was received last is with those who send it, and counted there: until then, or until the next is
    /// received, it counts here.
    pub fn handed_on(&self) {
        self.queue.handed_on();
    }

    /// Messages that wait to be received. A connection that takes no further requests while this is large bounds the
    /// memory that a client can claim by asking without listening.
    pub fn n_waiting(&self) -> usize {
        self.queue.len()
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.store.hub.close_stream(self.key);
        self.queue.clear();
    }
}
