//! Which keys a log entry may change: what an operator is shown before a tail is kept or dropped.

use bytes::Bytes;
use prost::Message;
use quorate_proto::etcdserverpb::{InternalRaftRequest, TxnRequest, request_op::Request};
use quorate_proto::raftpb;

/// Keys from `key` up to `range_end`, which is not among them; a single key where it is empty; all from `key` on
/// where it is one zero byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub key: Bytes,
    /// See the type.
    pub range_end: Bytes,
}

/// The keys that an entry puts or deletes, either branch of a transaction included. Empty for entries about anything
/// else, a revoked lease among them: its keys are not in the entry.
pub fn affected_keys(entry: &raftpb::Entry) -> Vec<KeyRange> {
    let mut keys = Vec::new();
    if entry.r#type() != raftpb::EntryType::EntryNormal {
        return keys;
    }
    let data = entry.data.clone().unwrap_or_default();
    if let Ok(request) = InternalRaftRequest::decode(data) {
        let put = request.put.map(|put| KeyRange { key: put.key, range_end: Bytes::new() });
        keys.extend(put);
        keys.extend(request.delete_range.map(|d| KeyRange { key: d.key, range_end: d.range_end }));
        if let Some(txn) = &request.txn {
            collect(txn, &mut keys);
        }
    }
    keys
}

fn collect(txn: &TxnRequest, keys: &mut Vec<KeyRange>) {
    for operation in txn.success.iter().chain(&txn.failure) {
        match &operation.request {
            Some(Request::RequestPut(put)) => {
                keys.push(KeyRange { key: put.key.clone(), range_end: Bytes::new() });
            }
            Some(Request::RequestDeleteRange(delete)) => {
                let (key, range_end) = (delete.key.clone(), delete.range_end.clone());
                keys.push(KeyRange { key, range_end });
            }
            Some(Request::RequestTxn(inner)) => collect(inner, keys),
            Some(Request::RequestRange(_)) | None => {}
        }
    }
}
