//! What can be judged about a request without the state: etcd's static checks, in etcd's order.
//!
//! Source: `etcd:server/etcdserver/api/v3rpc/key.go`.

use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

/// Transactions inside each other. Decoders take a hundred messages inside each other, of which a nested transaction
/// takes two; an entry of the log has one more around it, and one that no member could read again would end them all.
/// etcd has no such limit but `--max-txn-ops`.
const TXN_DEPTH_MAX: usize = 48;

/// Checks a range request.
///
/// # Errors
/// No key, or an unknown sort order or target.
pub fn check_range(request: &RangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    if SortOrder::try_from(request.sort_order).is_err()
        || SortTarget::try_from(request.sort_target).is_err()
    {
        return Err(EtcdError::InvalidSortOption);
    }
    Ok(())
}

/// Checks a put request.
///
/// # Errors
/// No key, or a value or lease that the request says to ignore.
pub fn check_put(request: &PutRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(EtcdError::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(EtcdError::LeaseProvided);
    }
    Ok(())
}

/// Checks a delete request.
///
/// # Errors
/// No key.
pub fn check_delete_range(request: &DeleteRangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() { Err(EtcdError::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction and everything in it. `ops_max` is `--max-txn-ops`.
///
/// # Errors
/// Too many operations or too deep, a faulty operation, or keys that two operations of one branch write.
pub fn check_txn(request: &TxnRequest, ops_max: usize) -> Result<(), EtcdError> {
    check_txn_ops(request, ops_max, TXN_DEPTH_MAX)?;
    written_keys(&request.success)?;
    written_keys(&request.failure)?;
    Ok(())
}

fn check_txn_ops(request: &TxnRequest, ops_max: usize, depth_max: usize) -> Result<(), EtcdError> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    if ops > ops_max {
        return Err(EtcdError::TooManyOps);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(EtcdError::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Op::RequestRange(range)) => check_range(range)?,
            Some(Op::RequestPut(put)) => check_put(put)?,
            Some(Op::RequestDeleteRange(delete)) => check_delete_range(delete)?,
            Some(Op::RequestTxn(_)) if depth_max == 0 => return Err(EtcdError::TooManyOps),
            Some(Op::RequestTxn(txn)) => check_txn_ops(txn, ops_max - ops, depth_max - 1)?,
            None => return Err(EtcdError::KeyNotFound),
        }
    }
    Ok(())
}

/// Keys that a branch deletes. One request may nest a hundred thousand operations, so nothing here looks at all of them
/// for each of them.
#[derive(Default)]
struct Deleted<'a> {
    keys: HashSet<&'a [u8]>,
    /// Start and end of intervals, none of which touch.
    intervals: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Deleted<'a> {
    fn contains(&self, key: &[u8]) -> bool {
        let before = (Bound::Unbounded, Bound::Included(key));
        let interval = self.intervals.range::<[u8], _>(before).next_back();
        self.keys.contains(key) || interval.is_some_and(|(_, end)| key < *end)
    }

    fn insert(&mut self, request: &'a DeleteRangeRequest) {
        if request.range_end.is_empty() {
            self.keys.insert(&request.key);
        } else {
            // etcd compares "\0" like any other end here, so nothing lies in such an interval. Allowed is what it allows.
            self.insert_interval(&request.key, &request.range_end);
        }
    }

    fn insert_interval(&mut self, mut start: &'a [u8], mut end: &'a [u8]) {
        if start >= end {
            return;
        }
        let before = (Bound::Unbounded, Bound::Included(start));
        let reaching = self.intervals.range::<[u8], _>(before).next_back();
        if let Some((earlier, _)) = reaching.filter(|(_, its_end)| **its_end >= start) {
            start = earlier;
        }
        let after = |start| (Bound::Included(start), Bound::Unbounded);
        while let Some((&next, &its_end)) = self.intervals.range::<[u8], _>(after(start)).next()
            && next <= end
        {
            self.intervals.remove(next);
            end = end.max(its_end);
        }
        self.intervals.insert(start, end);
    }

    fn extend(&mut self, other: Deleted<'a>) {
        self.keys.extend(other.keys);
        for (start, end) in other.intervals {
            self.insert_interval(start, end);
        }
    }
}

/// Keys that a branch puts and deletes.
#[derive(Default)]
struct Written<'a> {
    puts: HashSet<&'a Bytes>,
    deletes: Deleted<'a>,
}

impl<'a> Written<'a> {
    /// Adds a put, unless something of this branch wrote the key before.
    fn put(&mut self, key: &'a Bytes) -> Result<(), EtcdError> {
        if self.deletes.contains(key) || !self.puts.insert(key) {
            return Err(EtcdError::DuplicateKey);
        }
        Ok(())
    }
}

/// Collects what a branch writes, nested branches included.
fn written_keys(ops: &[RequestOp]) -> Result<Written<'_>, EtcdError> {
    let mut written = Written::default();
    // One operation that is no transaction cannot collide with anything.
    if let [RequestOp { request: Some(Op::RequestPut(_) | Op::RequestRange(_)) }] = ops {
        if let Some(Op::RequestPut(put)) = &ops[0].request {
            written.puts.insert(&put.key);
        }
        return Ok(written);
    }
    for op in ops {
        if let Some(Op::RequestDeleteRange(delete)) = &op.request {
            written.deletes.insert(delete);
        }
    }
    for op in ops {
        let Some(Op::RequestTxn(txn)) = &op.request else { continue };
        let then = written_keys(&txn.success)?;
        let otherwise = written_keys(&txn.failure)?;
        for key in &then.puts {
            written.put(key)?;
        }
        for key in &otherwise.puts {
            // Only one of the two branches is taken, so they may put the same key.
            if !then.puts.contains(key) || written.deletes.contains(key) {
                written.put(key)?;
            }
        }
        written.deletes.extend(then.deletes);
        written.deletes.extend(otherwise.deletes);
    }
    for op in ops {
        if let Some(Op::RequestPut(put)) = &op.request {
            written.put(&put.key)?;
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str) -> RequestOp {
        let put = PutRequest { key: key.into(), ..PutRequest::default() };
        RequestOp { request: Some(Op::RequestPut(put)) }
    }

    fn delete(key: &'static str, range_end: &'static str) -> RequestOp {
        let delete =
            DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false };
        RequestOp { request: Some(Op::RequestDeleteRange(delete)) }
    }

    fn txn(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
        TxnRequest { compare: vec![], success, failure }
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        RequestOp { request: Some(Op::RequestTxn(txn(success, failure))) }
    }

    /// A key may be written once per path through the transaction, wherever the second write hides.
    #[test]
    fn duplicate_keys() {
        let duplicate = Err(EtcdError::DuplicateKey);
        for ops in [
            vec![put("a"), put("a")],
            vec![put("b"), delete("a", "c")],
            vec![delete("a", "c"), put("b")],
            vec![put("a"), nested(vec![put("a")], vec![])],
            vec![nested(vec![put("a")], vec![]), nested(vec![], vec![put("a")])],
            vec![nested(vec![delete("a", "")], vec![]), put("a")],
        ] {
            assert_eq!(check_txn(&txn(ops.clone(), vec![]), 128), duplicate, "{ops:?}");
        }
        for ops in [
            vec![put("a"), put("b")],
            vec![put("c"), delete("a", "c")],
            vec![nested(vec![put("a")], vec![put("a")])],
            vec![delete("a", "c"), delete("b", "")],
            vec![put("z"), delete("a", "\0")],
        ] {
            assert_eq!(check_txn(&txn(ops.clone(), vec![]), 128), Ok(()), "{ops:?}");
        }
        assert_eq!(check_txn(&txn(vec![put("a")], vec![put("a")]), 128), Ok(()));
    }

    /// The limit of a nested transaction is what its parent has left.
    #[test]
    fn too_many_ops() {
        let ops = vec![put("a"), nested(vec![put("b"), put("c")], vec![])];
        assert_eq!(check_txn(&txn(ops.clone(), vec![]), 4), Ok(()));
        assert_eq!(check_txn(&txn(ops, vec![]), 3), Err(EtcdError::TooManyOps));
    }

    /// Deletes that overlap, touch or hold one another are one interval, whatever their order.
    #[test]
    fn deleted_intervals_are_merged() {
        let spans =
            [("c", "e"), ("g", "h"), ("a", "b"), ("d", "g"), ("x", "x"), ("z", "y"), ("d", "e")];
        for turn in 0..spans.len() {
            let mut deleted = Deleted::default();
            for n in 0..spans.len() {
                let (start, end) = spans[(n + turn) % spans.len()];
                deleted.insert_interval(start.as_bytes(), end.as_bytes());
            }
            let held: String =
                ('a'..='z').filter(|c| deleted.contains(c.to_string().as_bytes())).collect();
            assert_eq!(held, "acdefg");
            assert_eq!(deleted.intervals.len(), 2);
        }
    }

    /// What is let pass can be read again as an entry of the log, at its deepest too; one deeper is refused.
    #[test]
    fn the_deepest_can_be_read_again() {
        use prost::Message;
        use quorate_proto::etcdserverpb::InternalRaftRequest;
        let of_depth = |depth: usize| {
            let innermost = txn(vec![put("a")], vec![]);
            (0..depth).fold(innermost, |inner, _| {
                let inner = RequestOp { request: Some(Op::RequestTxn(inner)) };
                txn(vec![], vec![inner])
            })
        };
        let deepest = of_depth(TXN_DEPTH_MAX);
        assert_eq!(check_txn(&deepest, 128), Ok(()));
        let entry = InternalRaftRequest { txn: Some(deepest), ..Default::default() };
        assert_eq!(InternalRaftRequest::decode(&*entry.encode_to_vec()).unwrap(), entry);
        assert_eq!(check_txn(&of_depth(TXN_DEPTH_MAX + 1), 128), Err(EtcdError::TooManyOps));
    }

    /// An operation without a request is reported as etcd reports it.
    #[test]
    fn empty_operations() {
        let request = txn(vec![RequestOp { request: None }], vec![]);
        assert_eq!(check_txn(&request, 128), Err(EtcdError::KeyNotFound));
        assert_eq!(check_txn(&txn(vec![put("")], vec![]), 128), Err(EtcdError::EmptyKey));
    }
}
