//! Events in the form in which they go over the wire, encoded at most once for each of the two forms that watchers ask
//! for: without and with the pair before the change.

use crate::mvcc::{Change, ChangeKind, Changes};
use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::mvccpb::{Event, KeyValue};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// `WatchResponse.events`.
const EVENTS_FIELD: u32 = 11;

/// Encoded `events` fields of a `WatchResponse`, to be appended to the encoded rest of the message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedEvents {
    segments: Vec<Bytes>,
    len: usize,
}

impl EncodedEvents {
    /// One encoded field (tag, length, `mvccpb.Event`) for each event, in order.
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// Number of events.
    pub fn n_events(&self) -> usize {
        self.segments.len()
    }

    /// Bytes of all segments.
    pub fn encoded_len(&self) -> usize {
        self.len
    }

    /// Cuts the events into pieces of at most `bytes_max`, one event at least, for clients that take fragments. The
    /// ranges index [`EncodedEvents::segments`].
    pub fn fragments(&self, bytes_max: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (position, segment) in self.segments.iter().enumerate() {
            if position > start && bytes + segment.len() > bytes_max {
                pieces.push(start..position);
                (start, bytes) = (position, 0);
            }
            bytes += segment.len();
        }
        pieces.push(start..self.segments.len());
        pieces
    }

    /// The events as messages, for those who send something else than protobuf.
    ///
    /// # Errors
    /// Never for what this room has encoded.
    pub fn decode(&self) -> Result<Vec<Event>, prost::DecodeError> {
        let events = self.segments.iter().map(|segment| {
            let mut segment = segment.clone();
            prost::encoding::decode_key(&mut segment)?;
            Event::decode_length_delimited(segment)
        });
        events.collect()
    }

    pub(super) fn push(&mut self, segment: Bytes) {
        self.len += segment.len();
        self.segments.push(segment);
    }

    pub(super) fn append(&mut self, other: &EncodedEvents) {
        self.len += other.len;
        self.segments.extend(other.segments.iter().cloned());
    }
}

/// Finds the pair of a key just before a revision.
pub(super) type Previous<'a> = &'a dyn Fn(&[u8], i64) -> Option<KeyValue>;

/// The changes of one revision and what has been encoded of them.
#[derive(Debug)]
pub(super) struct RevisionEvents {
    changes: Arc<Changes>,
    /// One for each change, made when the first watcher wants one.
    encoded: OnceLock<Box<[EncodedForms]>>,
    /// All changes together, for the watchers that want them all.
    whole: Forms<Arc<EncodedEvents>>,
}

type EncodedForms = Forms<Bytes>;

/// A thing in the form without and with the previous pair.
#[derive(Debug)]
struct Forms<T> {
    plain: OnceLock<T>,
    with_previous: OnceLock<T>,
}

impl<T> Default for Forms<T> {
    fn default() -> Self {
        Forms { plain: OnceLock::new(), with_previous: OnceLock::new() }
    }
}

impl<T> Forms<T> {
    fn form(&self, with_previous: bool) -> &OnceLock<T> {
        if with_previous { &self.with_previous } else { &self.plain }
    }
}

impl RevisionEvents {
    pub(super) fn new(changes: Arc<Changes>) -> RevisionEvents {
        RevisionEvents { changes, encoded: OnceLock::new(), whole: Forms::default() }
    }

    pub(super) fn revision(&self) -> i64 {
        self.changes.revision
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.changes.changes
    }

    /// Memory that is held by keeping these events, in bytes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let rows = self
            .changes()
            .iter()
            .map(|change| size_of::<Change>() + change.kv.key.len() + change.kv.value.len());
        size_of::<Self>() + rows.sum::<usize>()
    }

    /// Encodes the changes at `positions`, with the pairs before them where `previous` can find those.
    pub(super) fn encode(
        &self,
        positions: &[usize],
        previous: Option<Previous<'_>>,
    ) -> Arc<EncodedEvents> {
        let select = || {
            let mut events = EncodedEvents::default();
            positions.iter().for_each(|position| events.push(self.segment(*position, previous)));
            Arc::new(events)
        };
        if positions.len() == self.changes().len() {
            return Arc::clone(self.whole.form(previous.is_some()).get_or_init(select));
        }
        select()
    }

    fn segment(&self, position: usize, previous: Option<Previous<'_>>) -> Bytes {
        let forms = self
            .encoded
            .get_or_init(|| self.changes().iter().map(|_| EncodedForms::default()).collect());
        let encode = || encode(&self.changes()[position], previous);
        forms[position].form(previous.is_some()).get_or_init(encode).clone()
    }
}

fn encode(change: &Change, previous: Option<Previous<'_>>) -> Bytes {
    let kv = &change.kv;
    let is_creation = change.kind == ChangeKind::Put && kv.create_revision == kv.mod_revision;
    let previous = previous.filter(|_| !is_creation);
    let event = Event {
        r#type: match change.kind {
            ChangeKind::Put => EventType::Put.into(),
            ChangeKind::Delete => EventType::Delete.into(),
        },
        kv: Some(kv.clone()),
        prev_kv: previous.and_then(|previous| previous(&kv.key, kv.mod_revision)),
    };
    let len = event.encoded_len();
    let prefix = key_len(EVENTS_FIELD) + encoded_len_varint(len as u64);
    let mut segment = BytesMut::with_capacity(prefix + len);
    encode_key(EVENTS_FIELD, WireType::LengthDelimited, &mut segment);
    encode_varint(len as u64, &mut segment);
    event.encode_raw(&mut segment);
    debug_assert_eq!(segment.len(), prefix + len);
    segment.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_proto::etcdserverpb::WatchResponse;

    fn change(key: &'static str, kind: ChangeKind) -> Change {
        let kv = KeyValue { key: key.into(), mod_revision: 5, version: 3, ..KeyValue::default() };
        Change { kind, kv, previous_lease: 0 }
    }

    fn revision() -> RevisionEvents {
        let changes = vec![change("a", ChangeKind::Put), change("b", ChangeKind::Delete)];
        RevisionEvents::new(Arc::new(Changes { revision: 5, changes }))
    }

    /// Segments put behind an encoded response decode as the response's events.
    #[test]
    fn segments_are_event_fields_of_a_response() {
        let find = |key: &[u8], _| {
            Some(KeyValue { key: Bytes::copy_from_slice(key), lease: 9, ..KeyValue::default() })
        };
        let encoded = revision().encode(&[0, 1], Some(&find));
        let mut bytes = WatchResponse { watch_id: 3, ..WatchResponse::default() }.encode_to_vec();
        encoded.segments().iter().for_each(|segment| bytes.extend_from_slice(segment));
        let response = WatchResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!((response.watch_id, response.events.len()), (3, 2));
        assert_eq!(response.events[1].r#type, i32::from(EventType::Delete));
        assert_eq!(response.events[1].prev_kv.as_ref().unwrap().lease, 9);
        assert_eq!(response.events, encoded.decode().unwrap());
    }

    /// All watchers that want the whole revision in the same form share one encoding.
    #[test]
    fn whole_revisions_are_encoded_once() {
        let revision = revision();
        let first = revision.encode(&[0, 1], None);
        assert!(Arc::ptr_eq(&first, &revision.encode(&[0, 1], None)));
        let part = revision.encode(&[1], None);
        assert_eq!(part.segments()[0].as_ptr(), first.segments()[1].as_ptr());
    }

    /// Fragments hold at least one event and otherwise respect the limit.
    #[test]
    fn fragments_are_cut_between_events() {
        let mut events = EncodedEvents::default();
        for n in [3, 3, 10, 1, 1] {
            events.push(Bytes::from(vec![0; n]));
        }
        assert_eq!(events.fragments(6), [0..2, 2..3, 3..5]);
        assert_eq!(events.fragments(100).len(), 1);
    }
}
