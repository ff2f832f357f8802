//! The KV service (`reference/etcd-api.md`, section 5).

use super::auth_caller::Credentials;
use super::budget::{NoRoom, Reading, Share, attach};
use super::checks;
use super::context::SharedContext;
use super::status;
use crate::apply::{Judge, Reply, read_only_txn};
use crate::auth::{Access, Caller};
use crate::metrics::RequestKind;
use crate::mvcc::RangeResult;
use prost::Message;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::kv_server::Kv;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    InternalRaftRequest, PutRequest, PutResponse, RangeRequest, RangeResponse, RangeStreamResponse,
    RequestOp, TxnRequest, TxnResponse,
};
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// What a key costs beyond its bytes, by etcd's estimate (`etcd:server/storage/quota.go`).
const KEY_OVERHEAD_BYTES: usize = 256;
/// Ranges up to this limit are read on the serving thread; larger ones would hold up other calls.
const INLINE_LIMIT_MAX: i64 = 256;
/// A write whose answer may show the values of more keys waits, as large reads do, until it is its turn.
const SHOWN_KEYS_MAX: usize = 8;

/// Handlers of the KV service.
pub struct KvApi {
    context: SharedContext,
}

impl KvApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> KvApi {
        KvApi { context }
    }

    async fn read(&self, request: RangeRequest) -> Result<Response<RangeResponse>, Status> {
        let store = self.context.state.store();
        let is_small = request.range_end.is_empty()
            || (request.limit > 0 && request.limit <= INLINE_LIMIT_MAX && !request.count_only);
        if is_small {
            let started = Instant::now();
            let result = store.range(&request);
            self.note_range(started.elapsed(), result.is_ok());
            let response = self.response(result.map_err(|error| status::from_mvcc(&error))?);
            // Few keys may be many bytes: those are read again when there is room, and do not wait for it in memory.
            if let Ok(share) = self.context.answers.share_now(response.encoded_len()) {
                return Ok(attach(Response::new(response), share));
            }
        }
        let reading = self.context.answers.read().await?;
        let started = Instant::now();
        let read = tokio::task::spawn_blocking(move || store.range(&request)).await;
        let result = read.map_err(|error| Status::internal(error.to_string()))?;
        self.note_range(started.elapsed(), result.is_ok());
        let response = self.response(result.map_err(|error| status::from_mvcc(&error))?);
        let share = reading.share(response.encoded_len()).await?;
        Ok(attach(Response::new(response), share))
    }

    /// Counts the reading itself, without what came before it.
    fn note_range(&self, took: Duration, is_success: bool) {
        let (server, took) = (&self.context.metrics.server, took.as_secs_f64());
        match is_success {
            true => server.range_ok.observe(took),
            false => server.range_failed.with_label_values(&["false"]).observe(took),
        }
    }

    fn response(&self, result: RangeResult) -> RangeResponse {
        RangeResponse {
            header: self.context.header(result.revision),
            kvs: result.kvs,
            more: result.more,
            count: result.count,
        }
    }

    /// A range whose request is known to be sound.
    async fn range_now(
        &self,
        credentials: &Credentials,
        request: RangeRequest,
    ) -> Result<Response<RangeResponse>, Status> {
        self.reach(&request).await?;
        let caller = self.judge_read(credentials, &request).await?;
        let response = self.read(request).await?;
        self.context.check_unchanged(&caller)?;
        Ok(response)
    }

    /// Counts a read from its coming to its answer, and warns of a slow one.
    fn note_read(&self, kind: RequestKind, took: Duration, is_success: bool) {
        let server = &self.context.metrics.server;
        server.request_times.observe(kind, is_success, took);
        let warning = self.context.limits.slow_apply;
        if took > warning && !warning.is_zero() {
            server.slow_apply.inc();
            tracing::warn!(
                took = ?took,
                expected_duration = ?warning,
                request = kind.name(),
                "apply request took too long"
            );
        }
    }

    async fn check_read(&self, request: &RangeRequest) -> Result<(), Status> {
        checks::check_range(request)?;
        self.reach(request).await
    }

    /// Waits until this member knows what a read must know.
    async fn reach(&self, request: &RangeRequest) -> Result<(), Status> {
        if request.serializable {
            return Ok(());
        }
        if self.context.state.cluster.is_local_learner() {
            return Err(EtcdError::NotSupportedForLearner.into());
        }
        self.context.linearize().await
    }

    async fn judge_read(
        &self,
        credentials: &Credentials,
        request: &RangeRequest,
    ) -> Result<Caller, Status> {
        let (key, range_end) = (&request.key, &request.range_end);
        let judge =
            |judge: &Judge<'_>| judge.view.check(judge.caller, Access::Read, key, range_end);
        self.context.judge(credentials, judge).await
    }

    /// The right to make a write whose answer may be large.
    async fn reading(&self, may_be_large: bool) -> Result<Option<Reading>, Status> {
        match may_be_large {
            true => self.context.answers.read().await.map(Some),
            false => Ok(None),
        }
    }

    /// The answer of a write that was made, with its share of the budget.
    async fn shared<T: Message>(
        &self,
        response: T,
        reading: Option<Reading>,
    ) -> Result<Response<T>, Status> {
        let bytes = response.encoded_len();
        let share = match self.context.answers.share_now(bytes) {
            Ok(share) => share,
            // Boxed: this is rare, and must not make the future of every write larger.
            Err(NoRoom) => Box::pin(self.share_late(bytes, reading)).await?,
        };
        Ok(attach(Response::new(response), share))
    }

    async fn share_late(
        &self,
        bytes: usize,
        reading: Option<Reading>,
    ) -> Result<Option<Share>, Status> {
        let reading = match reading {
            Some(reading) => Ok(reading),
            None => self.context.answers.read().await,
        };
        let no_room = |_| status::answer_without_room();
        reading.map_err(no_room)?.share(bytes).await.map_err(no_room)
    }

    async fn read_txn(
        &self,
        credentials: &Credentials,
        request: TxnRequest,
    ) -> Result<Response<TxnResponse>, Status> {
        let is_serializable = ops(&request)
            .all(|op| matches!(&op.request, Some(Op::RequestRange(range)) if range.serializable));
        if !is_serializable {
            self.context.linearize().await?;
        }
        let caller = self.context.judge(credentials, |judge| judge.txn(&request)).await?;
        let reading = self.context.answers.read().await?;
        let store = self.context.state.store();
        let read = move || store.read(|view| read_only_txn(view, &request));
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|error| Status::internal(error.to_string()))?;
        let mut response = read.map_err(|error| status::from_mvcc(&error))?;
        self.context.check_unchanged(&caller)?;
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        response.header = self.context.header(revision);
        let share = reading.share(response.encoded_len()).await?;
        Ok(attach(Response::new(response), share))
    }
}

fn ops(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

/// A transaction of ranges only never goes through the log; a nested transaction makes it a write.
fn is_read_only(request: &TxnRequest) -> bool {
    ops(request).all(|op| matches!(op.request, Some(Op::RequestRange(_))))
}

/// Keys whose values the answer of a write may show: those of each single get, put or delete that asks for them, and any
/// number for an interval.
fn shown_keys(request: &TxnRequest) -> usize {
    let shown = |shows: bool, range_end: &bytes::Bytes| match (shows, range_end.is_empty()) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => SHOWN_KEYS_MAX + 1,
    };
    let of = |op: &RequestOp| match &op.request {
        Some(Op::RequestRange(range)) => shown(!range.count_only, &range.range_end),
        Some(Op::RequestPut(put)) => usize::from(put.prev_kv),
        Some(Op::RequestDeleteRange(delete)) => shown(delete.prev_kv, &delete.range_end),
        Some(Op::RequestTxn(txn)) => shown_keys(txn),
        None => 0,
    };
    ops(request).map(of).sum()
}

fn put_cost(request: &PutRequest) -> usize {
    KEY_OVERHEAD_BYTES + request.key.len() + request.value.len()
}

/// The dearer branch counts.
fn txn_cost(request: &TxnRequest) -> usize {
    let branch = |ops: &[RequestOp]| -> usize {
        let cost = |op: &RequestOp| match &op.request {
            Some(Op::RequestPut(put)) => put_cost(put),
            Some(Op::RequestTxn(txn)) => txn_cost(txn),
            Some(Op::RequestRange(_) | Op::RequestDeleteRange(_)) | None => 0,
        };
        ops.iter().map(cost).sum()
    };
    branch(&request.success).max(branch(&request.failure))
}

#[tonic::async_trait]
impl Kv for KvApi {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let request = request.into_inner();
        checks::check_range(&request)?;
        let started = Instant::now();
        let response = self.range_now(&credentials, request).await;
        self.note_read(RequestKind::Range, started.elapsed(), response.is_ok());
        response
    }

    type RangeStreamStream =
        Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send + 'static>>;

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let credentials = self.context.credentials(&request);
        let request = request.into_inner();
        self.check_read(&request).await?;
        let caller = self.judge_read(&credentials, &request).await?;
        super::range_stream::check(&request)?;
        if super::range_stream::is_sorted_whole(&request) {
            let range = self.read(request).await?;
            self.context.check_unchanged(&caller)?;
            // Mapped, because its share of the budget goes with it.
            return Ok(range.map(|range| -> Self::RangeStreamStream {
                let answer = RangeStreamResponse { range_response: Some(range) };
                Box::pin(tokio_stream::once(Ok(answer)))
            }));
        }
        let (stream, shares) = super::range_stream::start(&self.context, request, caller);
        let mut response: Response<Self::RangeStreamStream> = Response::new(Box::pin(stream));
        response.extensions_mut().insert(shares);
        Ok(response)
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let request = request.into_inner();
        checks::check_put(&request)?;
        let cost = put_cost(&request);
        let _held = self.context.intake.hold_write(cost)?;
        self.context.admit(cost).await?;
        let proposal = InternalRaftRequest { put: Some(request), ..InternalRaftRequest::default() };
        match self.context.propose_as(&credentials, proposal).await? {
            Reply::Put(mut response) => {
                let revision = response.header.as_ref().map_or(0, |header| header.revision);
                response.header = self.context.header(revision);
                if response.prev_kv.is_none() {
                    return Ok(Response::new(response));
                }
                // Boxed: no put may pay for those few that ask for this.
                Box::pin(self.shared(response, None)).await
            }
            other => Err(status::unexpected_reply(&other)),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let request = request.into_inner();
        checks::check_delete_range(&request)?;
        let reading = self.reading(request.prev_kv && !request.range_end.is_empty()).await?;
        let proposal = InternalRaftRequest { delete_range: Some(request), ..Default::default() };
        match self.context.propose_as(&credentials, proposal).await? {
            Reply::DeleteRange(mut response) => {
                let revision = response.header.as_ref().map_or(0, |header| header.revision);
                response.header = self.context.header(revision);
                self.shared(response, reading).await
            }
            other => Err(status::unexpected_reply(&other)),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let request = request.into_inner();
        checks::check_txn(&request, self.context.limits.txn_ops_max)?;
        if is_read_only(&request) {
            let started = Instant::now();
            let response = self.read_txn(&credentials, request).await;
            self.note_read(RequestKind::ReadonlyTxn, started.elapsed(), response.is_ok());
            return response;
        }
        let cost = txn_cost(&request);
        let _held = self.context.intake.hold_write(cost)?;
        self.context.admit(cost).await?;
        let reading = self.reading(shown_keys(&request) > SHOWN_KEYS_MAX).await?;
        let proposal = InternalRaftRequest { txn: Some(request), ..InternalRaftRequest::default() };
        match self.context.propose_as(&credentials, proposal).await? {
            Reply::Txn(mut response) => {
                let revision = response.header.as_ref().map_or(0, |header| header.revision);
                response.header = self.context.header(revision);
                self.shared(response, reading).await
            }
            other => Err(status::unexpected_reply(&other)),
        }
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let credentials = self.context.credentials(&request);
        self.context.require_root(&credentials).await?;
        let request = request.into_inner();
        let (revision, is_physical) = (request.revision, request.physical);
        let proposal = InternalRaftRequest { compaction: Some(request), ..Default::default() };
        let now = self.context.propose_done_as(&credentials, proposal).await?;
        if is_physical {
            let mut compacted = self.context.compacted.clone();
            let done = compacted.wait_for(|done| *done >= revision).await;
            done.map_err(|_| Status::from(EtcdError::Stopped))?;
            let backend = self.context.state.backend.clone();
            let flushed = tokio::task::spawn_blocking(move || backend.flush()).await;
            flushed
                .map_err(|error| Status::internal(error.to_string()))?
                .map_err(|error| Status::unknown(error.to_string()))?;
        }
        Ok(Response::new(CompactionResponse { header: self.context.header(now) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quota counts the dearer branch, nested ones included.
    #[test]
    fn txn_cost_takes_the_dearer_branch() {
        let put = |value: &'static str| RequestOp {
            request: Some(Op::RequestPut(PutRequest {
                key: "k".into(),
                value: value.into(),
                ..PutRequest::default()
            })),
        };
        let nested = TxnRequest { success: vec![put("12345")], ..TxnRequest::default() };
        let request = TxnRequest {
            success: vec![put("1")],
            failure: vec![put("1"), RequestOp { request: Some(Op::RequestTxn(nested)) }],
            ..TxnRequest::default()
        };
        assert_eq!(txn_cost(&request), 256 + 1 + 1 + 256 + 1 + 5);
    }
}
