//! What a watch stream hands to its connection: everything of a `WatchResponse` but the parts that only the `api` room
//! knows.

use super::EncodedEvents;
use std::sync::Arc;

/// The watch id of an answer that concerns all watchers of a stream.
pub(super) const ALL_WATCHERS: i64 = -1;

/// One message for the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The watcher; -1 where the message is for all watchers of the stream.
    pub watch_id: i64,
    /// `header.revision`; 0 for a watch that is canceled because of a compaction.
    pub revision: i64,
    /// What is told.
    pub body: DeliveryBody,
}

/// The kinds of message.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryBody {
    /// The watcher exists (`created = true`). Always the first message of a watcher.
    Created,
    /// Changes, whole revisions each.
    Events {
        /// The changes, encoded and shared with all watchers that see the same ones.
        events: Arc<EncodedEvents>,
        /// Whether the client takes the message in pieces (`fragment` of its request).
        may_fragment: bool,
    },
    /// Nothing up to the header's revision is missing.
    Progress,
    /// The client has canceled the watcher (`canceled = true`).
    Canceled,
    /// The history that the watcher needs next is gone (`canceled = true` and `compact_revision`).
    Compacted {
        /// The store's compact revision.
        compact_revision: i64,
    },
}

impl Delivery {
    pub(super) fn n_events(&self) -> usize {
        match &self.body {
            DeliveryBody::Events { events, .. } => events.n_events(),
            DeliveryBody::Created
            | DeliveryBody::Progress
            | DeliveryBody::Canceled
            | DeliveryBody::Compacted { .. } => 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.body {
            DeliveryBody::Events { events, .. } => events.encoded_len(),
            DeliveryBody::Created
            | DeliveryBody::Progress
            | DeliveryBody::Canceled
            | DeliveryBody::Compacted { .. } => 0,
        }
    }
}
