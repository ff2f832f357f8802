//! A range in chunks, all at one pinned revision, so that neither side holds a large answer in memory.
//!
//! Facts: `reference/etcd-api.md`, section 5.2.

use super::read_view::Counting;
use super::{MvccError, RangeResult, Store};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use quorate_proto::etcdserverpb::RangeRequest;
use quorate_proto::mvccpb::KeyValue;
use std::sync::Arc;

/// Keys in the first chunk.
const FIRST_CHUNK_KEYS: i64 = 10;

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeChunk {
    /// The next pairs, ascending by key.
    pub kvs: Vec<KeyValue>,
    /// What comes with the last chunk only.
    pub end: Option<RangeEnd>,
}

/// What the last chunk of a streamed range says about the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeEnd {
    /// Whether the limit cut pairs off.
    pub more: bool,
    /// Keys in the interval, whatever the limit.
    pub count: i64,
    /// The store's revision when the stream began.
    pub revision: i64,
}

/// Produces the chunks of one range. The caller has refused custom sort orders and revision filters.
#[derive(Debug)]
pub struct RangeStream {
    store: Arc<Store>,
    /// What is still to be read; its revision is pinned by the first chunk.
    request: RangeRequest,
    /// Bytes that a chunk should have, roughly.
    chunk_bytes: usize,
    chunk_keys: i64,
    /// Pairs that the limit still allows, if there is one.
    left: Option<i64>,
    n_sent: i64,
    /// Revision of the answer's header.
    revision: i64,
    is_done: bool,
}

impl RangeStream {
    /// Prepares the stream; nothing is read yet. A good `chunk_bytes` is `--max-request-bytes`.
    pub fn new(store: Arc<Store>, request: RangeRequest, chunk_bytes: usize) -> RangeStream {
        let left = (request.limit > 0).then_some(request.limit);
        let (chunk_keys, n_sent, revision) = (FIRST_CHUNK_KEYS, 0, 0);
        RangeStream {
            store,
            request,
            chunk_bytes,
            chunk_keys,
            left,
            n_sent,
            revision,
            is_done: false,
        }
    }

    /// Reads the next chunk; `None` after the last one.
    ///
    /// # Errors
    /// Refuses a future revision, and a compacted one also while the stream runs; fails where storage does.
    pub fn next_chunk(&mut self) -> Result<Option<RangeChunk>, MvccError> {
        if self.is_done {
            return Ok(None);
        }
        let limit = self.left.map_or(self.chunk_keys, |left| left.min(self.chunk_keys));
        let request = RangeRequest { limit, ..self.request.clone() };
        let RangeResult { kvs, more, count, revision } =
            self.store.read(|view| view.range_counting(&request, Counting::Listed))?;
        if self.revision == 0 {
            self.revision = revision;
            if self.request.revision <= 0 {
                self.request.revision = revision;
            }
        }
        self.left = self.left.map(|left| left - kvs.len() as i64);
        if let Some(last) = kvs.last().filter(|_| more) {
            self.request.key = key_after(&last.key);
            self.adapt_chunk(&kvs);
        }
        self.is_done = !more || self.left == Some(0);
        let end = match self.is_done {
            true => Some(self.end(more, count)?),
            false => None,
        };
        self.n_sent += kvs.len() as i64;
        Ok(Some(RangeChunk { kvs, end }))
    }

    /// Sums the stream up. `count` is that of the last chunk; only where the limit cut is the rest counted as well.
    fn end(&self, more: bool, count: i64) -> Result<RangeEnd, MvccError> {
        let (mut count, revision) = (count, self.revision);
        if more {
            let rest = RangeRequest { count_only: true, ..self.request.clone() };
            // The listed pair that told of more is the first of the rest.
            count += self.store.range(&rest)?.count - 1;
        }
        Ok(RangeEnd { more, count: self.n_sent + count, revision })
    }

    /// Doubles or halves the number of keys in the next chunk, as etcd does.
    fn adapt_chunk(&mut self, kvs: &[KeyValue]) {
        let bytes: usize = kvs.iter().map(KeyValue::encoded_len).sum();
        if bytes < self.chunk_bytes / 2 {
            self.chunk_keys = self.chunk_keys.saturating_mul(2);
        } else if bytes > self.chunk_bytes * 2 {
            self.chunk_keys = (self.chunk_keys / 2).max(1);
        }
    }
}

/// The smallest key greater than `key`.
fn key_after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
