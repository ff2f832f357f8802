//! Transactions by etcd's rules: all compares first, then the checks of the chosen operations, then the operations
//! (`etcd:server/etcdserver/txn`).

use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};
use quorate_proto::mvccpb;

use super::state::State;
use super::store::Changes;
use crate::error::Result;

/// Why etcd would have answered an entry with an error instead of changing anything.
pub(super) type Refusal = &'static str;

/// Applies a transaction; says why where etcd refuses it.
pub(super) fn apply(state: &mut State<'_>, txn: &TxnRequest) -> Result<Option<Refusal>> {
    let mut chosen = Vec::new();
    choose(state, txn, &mut chosen)?;
    for operation in &chosen {
        let refusal = match operation {
            Request::RequestPut(put) => check_put(state, put),
            Request::RequestRange(range) => check_range(state, range),
            Request::RequestDeleteRange(_) | Request::RequestTxn(_) => None,
        };
        if refusal.is_some() {
            return Ok(refusal);
        }
    }
    let mut changes = Changes::begin(state);
    for operation in chosen {
        match operation {
            Request::RequestPut(put) => changes.put(put)?,
            Request::RequestDeleteRange(delete) => changes.delete(&delete.key, &delete.range_end),
            Request::RequestRange(_) | Request::RequestTxn(_) => {}
        }
    }
    changes.finish();
    Ok(None)
}

/// The operations of the branches that the compares choose, nested ones in place, in order.
fn choose<'t>(state: &State<'_>, txn: &'t TxnRequest, chosen: &mut Vec<&'t Request>) -> Result<()> {
    let mut holds = true;
    for compare in &txn.compare {
        holds = holds && evaluate(state, compare)?;
    }
    let branch: &[RequestOp] = if holds { &txn.success } else { &txn.failure };
    for operation in branch {
        match &operation.request {
            Some(Request::RequestTxn(inner)) => choose(state, inner, chosen)?,
            Some(request) => chosen.push(request),
            None => {}
        }
    }
    Ok(())
}

fn evaluate(state: &State<'_>, compare: &Compare) -> Result<bool> {
    let found = state.range(&compare.key, &compare.range_end);
    let is_value = compare.target() == CompareTarget::Value;
    if found.is_empty() {
        // A missing value is not an empty one.
        return Ok(!is_value && holds(compare, &mvccpb::KeyValue::default()));
    }
    for (_, live) in found {
        let pair = match is_value {
            true => state.pair(&live)?,
            false => mvccpb::KeyValue {
                create_revision: live.create_revision,
                mod_revision: live.modified.main,
                version: live.version,
                lease: live.lease,
                ..Default::default()
            },
        };
        if !holds(compare, &pair) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds(compare: &Compare, pair: &mvccpb::KeyValue) -> bool {
    let union = compare.target_union.as_ref();
    let order = match compare.target() {
        CompareTarget::Value => {
            let wanted = match union {
                Some(TargetUnion::Value(value)) => &value[..],
                _ => &[],
            };
            pair.value[..].cmp(wanted)
        }
        CompareTarget::Version => {
            let wanted = union.map_or(0, |u| if let TargetUnion::Version(n) = u { *n } else { 0 });
            pair.version.cmp(&wanted)
        }
        CompareTarget::Create => {
            let wanted =
                union.map_or(0, |u| if let TargetUnion::CreateRevision(n) = u { *n } else { 0 });
            pair.create_revision.cmp(&wanted)
        }
        CompareTarget::Mod => {
            let wanted =
                union.map_or(0, |u| if let TargetUnion::ModRevision(n) = u { *n } else { 0 });
            pair.mod_revision.cmp(&wanted)
        }
        CompareTarget::Lease => {
            let wanted = union.map_or(0, |u| if let TargetUnion::Lease(n) = u { *n } else { 0 });
            pair.lease.cmp(&wanted)
        }
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}

/// The checks of a put that depend on the state.
pub(super) fn check_put(state: &State<'_>, put: &PutRequest) -> Option<Refusal> {
    if put.lease != 0 && !state.leases.contains_key(&put.lease) {
        return Some("requested lease not found");
    }
    let needs_key = put.ignore_value || put.ignore_lease;
    (needs_key && !state.live.contains_key(&put.key)).then_some("key not found")
}

fn check_range(state: &State<'_>, range: &RangeRequest) -> Option<Refusal> {
    match range.revision {
        0 => None,
        revision if revision > state.revision => {
            Some("mvcc: required revision is a future revision")
        }
        revision if revision < state.compact_revision => {
            Some("mvcc: required revision has been compacted")
        }
        _ => None,
    }
}
