//! Transactions: compares fix the path, the path is checked, then executed.
//!
//! Source of the rules: `etcd:server/etcdserver/txn/txn.go`; `reference/etcd-api.md`, section 5.4.

use super::applier::{Applier, Refusal};
use super::kv;
use super::outcome::Reply;
use crate::lease::Lessor;
use crate::mvcc::{MvccError, ReadView, WriteTxn};
use crate::storage::Batch;
use bytes::Bytes;
use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::response_op::Response as Answer;
use quorate_proto::etcdserverpb::{
    Compare, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse,
};
use quorate_proto::mvccpb::KeyValue;
use std::cmp::Ordering;

/// The branches that the compares have chosen, outermost first, in the order in which transactions are met.
struct Path {
    taken: std::collections::VecDeque<bool>,
}

impl Path {
    /// Evaluates all compares, nested ones included, against the state before the transaction.
    fn choose(view: &ReadView<'_>, request: &TxnRequest) -> Result<Path, MvccError> {
        let mut taken = std::collections::VecDeque::new();
        choose_branch(view, request, &mut taken)?;
        Ok(Path { taken })
    }

    fn next(&mut self) -> bool {
        self.taken.pop_front().expect("a choice was made for every transaction on the path")
    }
}

fn choose_branch(
    view: &ReadView<'_>,
    request: &TxnRequest,
    taken: &mut std::collections::VecDeque<bool>,
) -> Result<(), MvccError> {
    let mut holds = true;
    for compare in &request.compare {
        if !compare_holds(view, compare)? {
            holds = false;
            break;
        }
    }
    taken.push_back(holds);
    for op in branch(request, holds) {
        if let Some(Op::RequestTxn(nested)) = &op.request {
            choose_branch(view, nested, taken)?;
        }
    }
    Ok(())
}

fn branch(request: &TxnRequest, holds: bool) -> &[RequestOp] {
    if holds { &request.success } else { &request.failure }
}

/// A comparison holds when it holds for every key of its interval; an empty interval is a missing key.
fn compare_holds(view: &ReadView<'_>, compare: &Compare) -> Result<bool, MvccError> {
    if compare.range_end.is_empty() {
        let pair = view.get(&compare.key)?;
        return Ok(pair_holds(compare, pair.as_ref()));
    }
    let (key, range_end) = (compare.key.clone(), compare.range_end.clone());
    let pairs = view.range(&RangeRequest { key, range_end, ..RangeRequest::default() })?.kvs;
    if pairs.is_empty() {
        return Ok(pair_holds(compare, None));
    }
    Ok(pairs.iter().all(|pair| pair_holds(compare, Some(pair))))
}

/// A result of a newer client that is not known holds, and an unknown target compares as equal, as in etcd.
fn pair_holds(compare: &Compare, pair: Option<&KeyValue>) -> bool {
    // A missing key has no value, not even an empty one; its numbers are all zero.
    if pair.is_none() && compare.target() == CompareTarget::Value {
        return false;
    }
    let ordering = ordering(compare, pair);
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering == Ordering::Equal,
        Ok(CompareResult::NotEqual) => ordering != Ordering::Equal,
        Ok(CompareResult::Greater) => ordering == Ordering::Greater,
        Ok(CompareResult::Less) => ordering == Ordering::Less,
        Err(_) => true,
    }
}

fn ordering(compare: &Compare, pair: Option<&KeyValue>) -> Ordering {
    let Ok(target) = CompareTarget::try_from(compare.target) else { return Ordering::Equal };
    let number = |of: fn(&KeyValue) -> i64| pair.map_or(0, of).cmp(&wanted_number(compare));
    match target {
        CompareTarget::Value => {
            let wanted = match &compare.target_union {
                Some(TargetUnion::Value(value)) => value.clone(),
                _ => Bytes::new(),
            };
            pair.map(|pair| pair.value.cmp(&wanted)).unwrap_or(Ordering::Less)
        }
        CompareTarget::Version => number(|pair| pair.version),
        CompareTarget::Create => number(|pair| pair.create_revision),
        CompareTarget::Mod => number(|pair| pair.mod_revision),
        CompareTarget::Lease => number(|pair| pair.lease),
    }
}

/// The number in the union, if it is the one that the target names; 0 otherwise.
fn wanted_number(compare: &Compare) -> i64 {
    match (compare.target(), &compare.target_union) {
        (CompareTarget::Version, Some(TargetUnion::Version(number)))
        | (CompareTarget::Create, Some(TargetUnion::CreateRevision(number)))
        | (CompareTarget::Mod, Some(TargetUnion::ModRevision(number)))
        | (CompareTarget::Lease, Some(TargetUnion::Lease(number))) => *number,
        _ => 0,
    }
}

/// Checks the operations on the path: put's needs, and the revisions of ranges.
fn check_path(
    txn: &WriteTxn<'_>,
    lessor: &Lessor,
    request: &TxnRequest,
    path: &mut Path,
) -> Result<(), Refusal> {
    let holds = path.next();
    for op in branch(request, holds) {
        match &op.request {
            Some(Op::RequestPut(put)) => kv::check_put(txn, lessor, put)?,
            Some(Op::RequestRange(range)) => txn.view().check_revision(range.revision)?,
            Some(Op::RequestTxn(nested)) => check_path(txn, lessor, nested, path)?,
            Some(Op::RequestDeleteRange(_)) | None => {}
        }
    }
    Ok(())
}

fn execute(
    txn: &mut WriteTxn<'_>,
    request: &TxnRequest,
    path: &mut Path,
) -> Result<TxnResponse, Refusal> {
    let succeeded = path.next();
    let mut responses = Vec::with_capacity(branch(request, succeeded).len());
    for op in branch(request, succeeded) {
        let response = match &op.request {
            Some(Op::RequestRange(range)) => Some(Answer::ResponseRange(range_in_txn(txn, range)?)),
            Some(Op::RequestPut(put)) => Some(Answer::ResponsePut(kv::put(txn, put)?)),
            Some(Op::RequestDeleteRange(delete)) => {
                Some(Answer::ResponseDeleteRange(kv::delete_range(txn, delete)?))
            }
            Some(Op::RequestTxn(nested)) => {
                let mut response = execute(txn, nested, path)?;
                response.header = Some(ResponseHeader::default());
                Some(Answer::ResponseTxn(response))
            }
            None => None,
        };
        responses.push(ResponseOp { response });
    }
    Ok(TxnResponse { header: None, succeeded, responses })
}

fn range_in_txn(txn: &mut WriteTxn<'_>, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
    let result = txn.range(request)?;
    Ok(range_response(result))
}

fn range_response(result: crate::mvcc::RangeResult) -> RangeResponse {
    RangeResponse {
        header: kv::revision_header(result.revision),
        kvs: result.kvs,
        more: result.more,
        count: result.count,
    }
}

/// Answers a transaction that consists of ranges only, from a read view: it never goes through the log.
///
/// # Errors
/// A revision is compacted or in the future, or storage fails.
pub fn read_only_txn(view: &ReadView<'_>, request: &TxnRequest) -> Result<TxnResponse, MvccError> {
    let mut path = Path::choose(view, request)?;
    let succeeded = path.next();
    let ops = branch(request, succeeded);
    for op in ops {
        if let Some(Op::RequestRange(range)) = &op.request {
            view.check_revision(range.revision)?;
        }
    }
    let mut responses = Vec::with_capacity(ops.len());
    for op in ops {
        if let Some(Op::RequestRange(range)) = &op.request {
            let answer = Answer::ResponseRange(range_response(view.range(range)?));
            responses.push(ResponseOp { response: Some(answer) });
        }
    }
    let header = kv::revision_header(view.revision());
    Ok(TxnResponse { header, succeeded, responses })
}

/// True when the chosen branches could contain a put: what the NOSPACE alarm forbids.
pub(super) fn may_put(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).any(|op| match &op.request {
        Some(Op::RequestPut(_)) => true,
        Some(Op::RequestTxn(nested)) => may_put(nested),
        Some(Op::RequestRange(_) | Op::RequestDeleteRange(_)) | None => false,
    })
}

impl Applier {
    pub(super) fn apply_txn(
        &mut self,
        batch: &mut Batch,
        request: &TxnRequest,
    ) -> Result<Reply, Refusal> {
        self.check_writable(may_put(request))?;
        let lessor = self.state.lessor.clone();
        let mut txn = self.writer.txn(batch);
        let mut path = Path::choose(&txn.view(), request)?;
        let mut checked = Path { taken: path.taken.clone() };
        check_path(&txn, &lessor, request, &mut checked)?;
        let mut response = execute(&mut txn, request, &mut path)?;
        response.header = kv::revision_header(txn.revision());
        let changes = txn.finish();
        self.move_leases(&changes);
        Ok(Reply::Txn(response))
    }
}
