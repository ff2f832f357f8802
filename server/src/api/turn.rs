//! Taking turns on keys of a common prefix: what locks and elections share. The oldest key has its turn.
//!
//! Follows `etcd:client/v3/concurrency` step by step, because clients of both kinds queue up beside one another. All
//! reads and writes go through the KV and Lease handlers in the caller's name, so that its permissions hold.

use super::context::SharedContext;
use super::kv::KvApi;
use super::lease::LeaseApi;
use crate::mvcc::watch::{DeliveryBody, WatchCreate, WatchStream};
use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::kv_server::Kv;
use quorate_proto::etcdserverpb::lease_server::Lease;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::response_op::Response as Answer;
use quorate_proto::etcdserverpb::watch_create_request::FilterType;
use quorate_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RangeResponse,
    RequestOp, ResponseHeader, TxnRequest, TxnResponse, WatchCreateRequest,
};
use quorate_proto::mvccpb::KeyValue;
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

/// TTL in seconds of the lease that a caller without one is given (`concurrency.defaultSessionTTL`).
const SESSION_TTL: i64 = 60;
/// Tries to take back the key of a caller that has gone; its lease ends it otherwise.
const RELEASE_TRIES: u32 = 5;
/// Pause between two tries while the cluster has no leader.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Changes when a snapshot replaces the state, and when users or roles change: then keys must be read anew, in the
/// caller's name, before anything more is told of them.
pub(super) struct Generation {
    state: watch::Receiver<u64>,
    rights: watch::Receiver<u64>,
}

impl Generation {
    /// Waits for a change.
    pub(super) async fn changed(&mut self) {
        // A sender that is gone means that the member is: whoever waits looks again and finds out.
        tokio::select! {
            _ = self.state.changed() => {}
            _ = self.rights.changed() => {}
        }
    }

    /// True when a change has happened that was not waited for.
    pub(super) fn has_changed(&self) -> bool {
        let changed = |receiver: &watch::Receiver<u64>| receiver.has_changed().unwrap_or(true);
        changed(&self.state) || changed(&self.rights)
    }
}

/// One caller, in whose name keys are read and written.
#[derive(Clone)]
pub(super) struct Caller {
    context: SharedContext,
    metadata: MetadataMap,
    extensions: Extensions,
}

/// A key of the caller among those of the prefix.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The key: prefix and lease id in hex.
    pub(super) key: Bytes,
    /// Its create revision: the caller's place in the queue.
    pub(super) revision: i64,
    /// Value that the key had already; `None` where this call made it.
    pub(super) found_value: Option<Bytes>,
    /// Header of the transaction.
    pub(super) header: Option<ResponseHeader>,
    /// Create revision of the oldest key at that moment; 0 for none.
    pub(super) oldest: i64,
}

impl Place {
    /// True where nobody was before the caller.
    pub(super) fn is_first(&self) -> bool {
        self.oldest == 0 || self.oldest == self.revision
    }
}

/// `name/`, under which the keys of a lock or an election lie.
pub(super) fn prefix(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// The end of a prefix that ends with a slash.
fn prefix_end(prefix: &[u8]) -> Bytes {
    let (_, body) = prefix.split_last().unwrap_or((&0, &[]));
    [body, b"0"].concat().into()
}

/// A lease id as Go's `%x` prints it: a negative one has a sign.
fn lease_hex(lease: i64) -> String {
    let sign = if lease < 0 { "-" } else { "" };
    format!("{sign}{:x}", lease.unsigned_abs())
}

/// etcd's handlers pass on what its own client library made of an answer, and that has a text and no code.
fn without_code(status: Status) -> Status {
    match EtcdError::from_text(status.message()) {
        Some(_) => Status::unknown(status.message()),
        None => status,
    }
}

fn is_passing(status: &Status) -> bool {
    let passing = [EtcdError::LeaderChanged, EtcdError::NoLeader, EtcdError::Timeout];
    passing.iter().any(|error| error.text() == status.message())
}

/// Runs work that must come to its end although its caller may go. The token tells when that has happened.
///
/// # Errors
/// Those of the work.
pub(super) async fn to_its_end<T, F>(work: impl FnOnce(CancellationToken) -> F) -> Result<T, Status>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let gone = CancellationToken::new();
    // The connection drops a call that its client has cancelled.
    let _guard = gone.clone().drop_guard();
    let outcome = tokio::spawn(work(gone)).await;
    outcome.map_err(|error| Status::internal(error.to_string()))?
}

/// A comparison of a key's create revision.
fn created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Compare::default()
    }
}

fn ops(requests: Vec<Op>) -> Vec<RequestOp> {
    requests.into_iter().map(|request| RequestOp { request: Some(request) }).collect()
}

/// The pairs of the n-th answer of a transaction.
fn pairs(response: &TxnResponse, n: usize) -> &[KeyValue] {
    match response.responses.get(n).and_then(|answer| answer.response.as_ref()) {
        Some(Answer::ResponseRange(range)) => &range.kvs,
        _ => &[],
    }
}

fn first_created(prefix: &Bytes) -> RangeRequest {
    RangeRequest {
        key: prefix.clone(),
        range_end: prefix_end(prefix),
        limit: 1,
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        ..RangeRequest::default()
    }
}

impl Caller {
    /// The caller of a request.
    pub(super) fn of<T>(context: &SharedContext, request: &Request<T>) -> Caller {
        let (metadata, extensions) = (request.metadata().clone(), request.extensions().clone());
        Caller { context: context.clone(), metadata, extensions }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        Request::from_parts(self.metadata.clone(), self.extensions.clone(), message)
    }

    fn kv(&self) -> KvApi {
        KvApi::new(self.context.clone())
    }

    /// Reads.
    pub(super) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        let answer = self.kv().range(self.request(request)).await;
        answer.map(tonic::Response::into_inner).map_err(without_code)
    }

    async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        let answer = self.kv().txn(self.request(request)).await;
        answer.map(tonic::Response::into_inner).map_err(without_code)
    }

    /// Deletes one key; that it is not there is no error.
    pub(super) async fn delete(&self, key: Bytes) -> Result<Option<ResponseHeader>, Status> {
        let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
        let answer = self.kv().delete_range(self.request(request)).await;
        answer.map(|answer| answer.into_inner().header).map_err(without_code)
    }

    /// The caller's lease, or a new one where it has none.
    pub(super) async fn lease(&self, lease: i64) -> Result<i64, Status> {
        if lease != 0 {
            return Ok(lease);
        }
        let api = LeaseApi::new(self.context.clone());
        let request = self.request(LeaseGrantRequest { ttl: SESSION_TTL, id: 0 });
        let answer = api.lease_grant(request).await;
        answer.map(|answer| answer.into_inner().id).map_err(without_code)
    }

    /// Queues up, unless the lease has a key under the prefix already.
    pub(super) async fn queue_up(
        &self,
        prefix: &Bytes,
        lease: i64,
        value: Bytes,
    ) -> Result<Place, Status> {
        let key: Bytes = [prefix, lease_hex(lease).as_bytes()].concat().into();
        let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
        let own = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let oldest = first_created(prefix);
        let request = TxnRequest {
            compare: vec![created_at(&key, 0)],
            success: ops(vec![Op::RequestPut(put), Op::RequestRange(oldest.clone())]),
            failure: ops(vec![Op::RequestRange(own), Op::RequestRange(oldest)]),
        };
        let response = self.txn(request).await?;
        let oldest = pairs(&response, 1).first().map_or(0, |pair| pair.create_revision);
        let header = response.header;
        let found = pairs(&response, 0).first().filter(|_| !response.succeeded);
        let made = header.as_ref().map_or(0, |header| header.revision);
        let revision = found.map_or(made, |pair| pair.create_revision);
        let found_value = found.map(|pair| pair.value.clone());
        Ok(Place { key, revision, found_value, header, oldest })
    }

    /// Waits until no key of the prefix is older than `revision`.
    pub(super) async fn wait_turn(&self, prefix: &Bytes, revision: i64) -> Result<(), Status> {
        // The youngest of those before: each waits for one other, so a key that goes wakes one waiter.
        let before = RangeRequest {
            sort_order: SortOrder::Descend as i32,
            max_create_revision: revision - 1,
            keys_only: true,
            ..first_created(prefix)
        };
        loop {
            // Taken first: a store that is replaced in between is noticed.
            let mut generation = self.generation();
            let answer = match self.range(before.clone()).await {
                Err(status) if status.message() == EtcdError::LeaderChanged.text() => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
                answer => answer?,
            };
            let Some(other) = answer.kvs.into_iter().next() else { return Ok(()) };
            let revision = answer.header.map_or(0, |header| header.revision);
            let watch = self.watch(&other.key, &Bytes::new(), revision, true);
            loop {
                tokio::select! {
                    delivery = watch.recv() => match delivery.body {
                        DeliveryBody::Created | DeliveryBody::Progress => {}
                        // Compacted: only a look at the keys can tell what has happened.
                        DeliveryBody::Events { .. } | DeliveryBody::Canceled
                        | DeliveryBody::Compacted { .. } => break,
                    },
                    () = generation.changed() => break,
                    () = self.context.stopped() => return Err(EtcdError::Stopped.into()),
                }
            }
        }
    }

    /// Watches an interval that the caller has just read.
    pub(super) fn watch(
        &self,
        key: &Bytes,
        range_end: &Bytes,
        start_revision: i64,
        only_deletes: bool,
    ) -> WatchStream {
        let stream = self.context.state.store().watch_stream();
        let filters = if only_deletes { vec![FilterType::Noput as i32] } else { Vec::new() };
        let request = WatchCreateRequest {
            key: key.clone(),
            range_end: range_end.clone(),
            start_revision,
            filters,
            ..WatchCreateRequest::default()
        };
        if let Ok(create) = WatchCreate::from_request(&request) {
            // A fresh stream has no ids that could be taken.
            let _ = stream.create(create);
        }
        stream
    }

    /// Replaces the value of a place; `None` where the place is lost.
    pub(super) async fn replace(
        &self,
        key: &Bytes,
        revision: i64,
        lease: i64,
        value: Bytes,
    ) -> Result<Option<Option<ResponseHeader>>, Status> {
        let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
        let request = TxnRequest {
            compare: vec![created_at(key, revision)],
            success: ops(vec![Op::RequestPut(put)]),
            failure: Vec::new(),
        };
        let response = self.txn(request).await?;
        Ok(response.succeeded.then_some(response.header))
    }

    /// Gives a place up; that it was lost before is no error.
    pub(super) async fn leave(
        &self,
        key: &Bytes,
        revision: i64,
    ) -> Result<Option<ResponseHeader>, Status> {
        let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
        let request = TxnRequest {
            compare: vec![created_at(key, revision)],
            success: ops(vec![Op::RequestDeleteRange(delete)]),
            failure: Vec::new(),
        };
        Ok(self.txn(request).await?.header)
    }

    /// Gives a place up for a caller that has gone. Saying it twice does no harm.
    pub(super) async fn leave_for_sure(&self, place: &Place) {
        for _ in 0..RELEASE_TRIES {
            match self.leave(&place.key, place.revision).await {
                Err(status) if is_passing(&status) => tokio::time::sleep(RETRY_PAUSE).await,
                Err(status) => {
                    tracing::debug!(reason = status.message(), "a key stays until its lease ends");
                    return;
                }
                Ok(_) => return,
            }
        }
    }

    /// The oldest pair of a prefix.
    pub(super) async fn oldest(&self, prefix: &Bytes) -> Result<RangeResponse, Status> {
        self.range(first_created(prefix)).await
    }

    /// Watches all keys of a prefix.
    pub(super) fn watch_prefix(&self, prefix: &Bytes, start_revision: i64) -> WatchStream {
        self.watch(prefix, &prefix_end(prefix), start_revision, false)
    }

    /// Waits until this member stops.
    pub(super) async fn member_stopped(&self) {
        self.context.stopped().await;
    }

    /// Tells when keys must be read anew.
    pub(super) fn generation(&self) -> Generation {
        let state = &self.context.state;
        Generation { state: state.generation(), rights: state.auth.changed() }
    }

    /// A header with the revision of an event.
    pub(super) fn header(&self, revision: i64) -> Option<ResponseHeader> {
        self.context.header(revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys look as Go's client makes them, negative leases included.
    #[test]
    fn keys_are_gos() {
        assert_eq!(lease_hex(0x7587), "7587");
        assert_eq!(lease_hex(-1), "-1");
        assert_eq!(lease_hex(i64::MIN), "-8000000000000000");
        assert_eq!(prefix_end(&prefix(b"a")), Bytes::from("a0"));
    }
}
