//! The KV service: range, put, delete, txn, compact, and the ends of key intervals.

use crate::call::{Client, Method};
use crate::error::{ClientError, Result};
use bytes::Bytes;
use quorate_proto::etcdserverpb as pb;
use tonic::Streaming;

/// The KV service. Errors are the server's.
#[derive(Clone)]
pub struct KvClient(Client);

impl Client {
    /// The KV service.
    pub fn kv(&self) -> KvClient {
        KvClient(self.clone())
    }
}

impl KvClient {
    /// Reads keys.
    pub async fn range(&self, request: pb::RangeRequest) -> Result<pb::RangeResponse> {
        self.0.unary(Method::read("/etcdserverpb.KV/Range"), request).await
    }

    /// Reads one key.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<pb::RangeResponse> {
        self.range(pb::RangeRequest { key: key.into(), ..Default::default() }).await
    }

    /// Reads keys in chunks of one pinned revision (servers from 3.7 on).
    pub async fn range_stream(&self, request: pb::RangeRequest) -> Result<RangeStream> {
        let method = Method::read("/etcdserverpb.KV/RangeStream");
        let stream = self.0.server_stream(method, request).await?;
        Ok(RangeStream { stream, endpoint: self.0.current_endpoint() })
    }

    /// Writes one key.
    pub async fn put(&self, request: pb::PutRequest) -> Result<pb::PutResponse> {
        self.0.unary(Method::write("/etcdserverpb.KV/Put"), request).await
    }

    /// Deletes keys.
    pub async fn delete(&self, request: pb::DeleteRangeRequest) -> Result<pb::DeleteRangeResponse> {
        self.0.unary(Method::write("/etcdserverpb.KV/DeleteRange"), request).await
    }

    /// Runs a transaction. One that only reads is retried like a read.
    pub async fn txn(&self, request: pb::TxnRequest) -> Result<pb::TxnResponse> {
        let path = "/etcdserverpb.KV/Txn";
        let method = if only_reads(&request) { Method::read(path) } else { Method::write(path) };
        self.0.unary(method, request).await
    }

    /// Forgets history up to `revision`; with `physical` the answer waits until it is gone from disk.
    pub async fn compact(&self, request: pb::CompactionRequest) -> Result<pb::CompactionResponse> {
        self.0.unary(Method::write("/etcdserverpb.KV/Compact"), request).await
    }
}

/// True if no branch writes, nested transactions included.
fn only_reads(txn: &pb::TxnRequest) -> bool {
    use pb::request_op::Request;
    txn.success.iter().chain(&txn.failure).all(|op| match &op.request {
        Some(Request::RequestRange(_)) | None => true,
        Some(Request::RequestTxn(nested)) => only_reads(nested),
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) => false,
    })
}

/// The chunks of a streamed range. Header, count and `more` come in the last one.
pub struct RangeStream {
    stream: Streaming<pb::RangeStreamResponse>,
    endpoint: String,
}

impl RangeStream {
    /// The next chunk; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<pb::RangeResponse>> {
        match self.stream.message().await {
            Ok(Some(message)) => Ok(Some(message.range_response.unwrap_or_default())),
            Ok(None) => Ok(None),
            Err(status) => Err(ClientError::from_status(&self.endpoint, status)),
        }
    }
}

/// The `range_end` that makes an interval of all keys starting with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    from_key_end()
}

/// The `range_end` that makes an interval up to the end of the key space.
pub fn from_key_end() -> Bytes {
    Bytes::from_static(b"\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a prefix raises its last byte below 0xff; all 0xff means "to the end".
    #[test]
    fn prefix_ends() {
        assert_eq!(&prefix_end(b"foo")[..], b"fop");
        assert_eq!(&prefix_end(b"a\xff")[..], b"b");
        assert_eq!(&prefix_end(b"\xff\xff")[..], b"\0");
        assert_eq!(&prefix_end(b"")[..], b"\0");
    }
}
