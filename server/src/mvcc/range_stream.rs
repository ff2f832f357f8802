//! A range in chunks, all at one pinned revision, so that neither side holds a large answer in memory.
//!
//! Facts: `reference/etcd-api.md`, section 5.2.

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
        RangeStream {
            store,
            left: (request.limit > 0).then_some(request.limit),
            request,
            chunk_bytes,
            chunk_keys: FIRST_CHUNK_KEYS,
            n_sent: 0,
            revision: 0,
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
        let mut result = self.read(limit)?;
        self.n_sent += result.kvs.len() as i64;
        self.left = self.left.map(|left| left - result.kvs.len() as i64);
        let is_last = !result.more || self.left == Some(0);
        let end = is_last.then_some(RangeEnd {
            more: result.more,
            count: result.count,
            revision: self.revision,
        });
        self.is_done = is_last;
        if let (false, Some(last)) = (is_last, result.kvs.last()) {
            self.request.key = key_after(&last.key);
            self.adapt_chunk(&result.kvs);
        }
        Ok(Some(RangeChunk { kvs: std::mem::take(&mut result.kvs), end }))
    }

    /// Reads up to `limit` pairs. The count of the result is that of the whole range.
    fn read(&mut self, limit: i64) -> Result<RangeResult, MvccError> {
        let request = RangeRequest { limit, ..self.request.clone() };
        if self.revision == 0 {
            let first = self.store.range(&request)?;
            self.revision = first.revision;
            if self.request.revision <= 0 {
                self.request.revision = first.revision;
            }
            return Ok(first);
        }
        let mut result = self.store.range(&request)?;
        result.count += self.n_sent;
        Ok(result)
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
