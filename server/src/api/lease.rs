//! The Lease service (`reference/etcd-api.md`, section 7). Deadlines live with the leader, so followers forward.

use super::auth_caller::Credentials;
use super::context::{Context, SharedContext};
use super::forward::{self, ForwardKind};
use super::status;
use crate::apply::{Judge, Reply};
use crate::auth::Access;
use crate::lease::Renewal;
use prost::Message;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::lease_server::Lease;
use quorate_proto::etcdserverpb::{
    InternalRaftRequest, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answers of one keep-alive stream that wait for the client.
const KEEP_ALIVE_QUEUE: usize = 16;
/// What a lease costs against the quota, in bytes (`etcd:server/storage/quota.go`).
const LEASE_OVERHEAD_BYTES: usize = 64;
/// Time the leader waits for its own state before it says that it does not know a lease.
const APPLIED_WAIT: Duration = Duration::from_secs(1);
/// Pause between two looks at a lease that is being revoked.
const REVOKE_POLL: Duration = Duration::from_millis(10);

/// Handlers of the Lease service.
pub struct LeaseApi {
    context: SharedContext,
}

impl LeaseApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> LeaseApi {
        LeaseApi { context }
    }

    async fn time_to_live(
        &self,
        request: &LeaseTimeToLiveRequest,
    ) -> Result<LeaseTimeToLiveResponse, Status> {
        if self.context.state.lessor.is_leading() {
            return Ok(time_to_live_here(&self.context, request));
        }
        let (kind, body) = (ForwardKind::LeaseTimeToLive, request.encode_to_vec());
        let bytes = forward::to_leader(&self.context, kind, body).await?;
        let mut response = LeaseTimeToLiveResponse::decode(bytes)
            .map_err(|error| Status::internal(error.to_string()))?;
        response.header = self.context.header_now();
        Ok(response)
    }
}

/// Renews a lease wherever the leader is, and returns its TTL in seconds; 0 for a lease that is not there.
async fn renew(context: &Context, id: i64) -> Result<i64, Status> {
    let deadline = tokio::time::Instant::now() + context.limits.request_timeout;
    loop {
        let answer = if context.state.lessor.is_leading() {
            renew_here(context, id).await
        } else {
            let request = LeaseKeepAliveRequest { id }.encode_to_vec();
            let answer = forward::to_leader(context, ForwardKind::LeaseKeepAlive, request).await;
            answer.and_then(|bytes| {
                let response = LeaseKeepAliveResponse::decode(bytes);
                response
                    .map(|response| response.ttl)
                    .map_err(|error| Status::internal(error.to_string()))
            })
        };
        match answer {
            // Leadership moves: whoever leads next will know.
            Err(status) if status.message() == EtcdError::NotLeader.text() => {
                if tokio::time::Instant::now() >= deadline {
                    return Err(EtcdError::Timeout.into());
                }
                tokio::time::sleep(REVOKE_POLL * 5).await;
            }
            other => return other,
        }
    }
}

/// Renews on the leader, once it has proof that it still leads.
pub(super) async fn renew_here(context: &Context, id: i64) -> Result<i64, Status> {
    let lessor = &context.state.lessor;
    if !context.raft.is_leader() {
        context.linearize().await?;
    }
    let deadline = tokio::time::Instant::now() + context.limits.request_timeout;
    let mut has_waited = false;
    loop {
        match lessor.renew(id) {
            Renewal::Renewed(ttl) => {
                context.metrics.lease.renewed.inc();
                undo_checkpoint(context, id, ttl).await;
                return Ok(ttl);
            }
            Renewal::NotLeading => return Err(EtcdError::NotLeader.into()),
            // The grant may be committed and not applied yet.
            Renewal::NotFound if !has_waited => {
                has_waited = true;
                let wait = context.raft.wait_applied(context.raft.commit_index());
                if tokio::time::timeout(APPLIED_WAIT, wait).await.is_err() {
                    return Err(EtcdError::TimeoutWaitAppliedIndex.into());
                }
            }
            Renewal::NotFound => return Ok(0),
            Renewal::Expired if tokio::time::Instant::now() >= deadline => {
                return Err(EtcdError::Timeout.into());
            }
            Renewal::Expired => tokio::time::sleep(REVOKE_POLL).await,
        }
    }
}

/// A renewed lease has its full time again, on every member.
async fn undo_checkpoint(context: &Context, id: i64, ttl: i64) {
    if !context.state.lessor.is_checkpointed(id) {
        return;
    }
    let request = super::forward::checkpoint_request(&[(id, ttl)]);
    if let Err(error) = context.propose(request).await {
        tracing::debug!(%error, "lease keeps its old checkpoint until the next one");
    }
}

/// Answers for a lease on the leader.
pub(super) fn time_to_live_here(
    context: &Context,
    request: &LeaseTimeToLiveRequest,
) -> LeaseTimeToLiveResponse {
    let header = context.header_now();
    match context.state.lessor.info(request.id, request.keys) {
        None => LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, ..Default::default() },
        Some(info) => LeaseTimeToLiveResponse {
            header,
            id: request.id,
            ttl: info.remaining_ttl,
            granted_ttl: info.granted_ttl,
            keys: info.keys,
        },
    }
}

/// Keeping a lease needs the right to write all keys that hang on it (`etcd:server/etcdserver/v3_server.go`,
/// checkLeaseRenew).
async fn judge_renewal(
    context: &Context,
    credentials: &Credentials,
    id: i64,
) -> Result<(), Status> {
    if !context.state.auth.is_enabled() {
        return Ok(());
    }
    // A lease that is committed and not applied here yet has keys that cannot be seen yet.
    if !context.state.lessor.exists(id) {
        let wait = context.raft.wait_applied(context.raft.commit_index());
        if tokio::time::timeout(APPLIED_WAIT, wait).await.is_err() {
            return Err(EtcdError::TimeoutWaitAppliedIndex.into());
        }
    }
    let judge = |judge: &Judge<'_>| {
        judge.view.check_known(judge.caller)?;
        judge.lease(id)
    };
    context.judge(credentials, judge).await.map(|_| ())
}

async fn keep_alive_stream(
    context: SharedContext,
    credentials: Credentials,
    mut requests: Streaming<LeaseKeepAliveRequest>,
    answers: mpsc::Sender<Result<LeaseKeepAliveResponse, Status>>,
) {
    loop {
        let request = tokio::select! {
            request = requests.message() => request,
            () = context.stopped() => Err(EtcdError::Stopped.into()),
            () = answers.closed() => return,
        };
        let answer = match request {
            Ok(None) => return,
            Ok(Some(request)) => {
                // etcd takes the header before the renewal.
                let header = context.header_now();
                let ttl = match judge_renewal(&context, &credentials, request.id).await {
                    Ok(()) => renew(&context, request.id).await,
                    Err(status) => Err(status),
                };
                ttl.map(|ttl| LeaseKeepAliveResponse { header, id: request.id, ttl })
            }
            Err(status) => Err(status),
        };
        let is_end = answer.is_err();
        if answers.send(answer).await.is_err() || is_end {
            return;
        }
    }
}

#[tonic::async_trait]
impl Lease for LeaseApi {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let mut request = request.into_inner();
        self.context.admit(LEASE_OVERHEAD_BYTES).await?;
        self.context.require_user(&credentials).await?;
        while request.id == 0 {
            request.id = (rand::random::<u64>() >> 1).cast_signed();
        }
        // The proposer knows the election timeout; apply does not.
        request.ttl = request.ttl.max(self.context.limits.lease_ttl_min);
        let proposal = InternalRaftRequest { lease_grant: Some(request), ..Default::default() };
        match self.context.propose_as(&credentials, proposal).await? {
            Reply::LeaseGrant { revision, id, ttl } => {
                let header = self.context.header(revision);
                Ok(Response::new(LeaseGrantResponse { header, id, ttl, error: String::new() }))
            }
            other => Err(status::unexpected_reply(&other)),
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let credentials = self.context.credentials(&request);
        self.context.require_user(&credentials).await?;
        let lease_revoke = Some(request.into_inner());
        let proposal = InternalRaftRequest { lease_revoke, ..InternalRaftRequest::default() };
        let revision = self.context.propose_done_as(&credentials, proposal).await?;
        Ok(Response::new(LeaseRevokeResponse { header: self.context.header(revision) }))
    }

    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send + 'static>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (sender, receiver) = mpsc::channel(KEEP_ALIVE_QUEUE);
        // A stream may outlive the moment at which authentication is switched on.
        let credentials = Credentials::of(request.metadata(), request.extensions());
        let requests = request.into_inner();
        tokio::spawn(keep_alive_stream(self.context.clone(), credentials, requests, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let request = request.into_inner();
        self.context.require_user(&credentials).await?;
        self.context.linearize().await?;
        let response = self.time_to_live(&request).await?;
        if request.keys {
            // Judged by the very keys that are about to be shown.
            let judge = |judge: &Judge<'_>| judge.keys(&response.keys, Access::Read);
            let caller = self.context.judge(&credentials, judge).await?;
            self.context.check_unchanged(&caller)?;
        }
        self.context.answers.carry(response).await
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let ids = self.context.state.lessor.ids();
        let judge = |judge: &Judge<'_>| {
            judge.view.check_known(judge.caller)?;
            ids.iter().try_for_each(|id| judge.lease_keys(*id, Access::Read))
        };
        let caller = self.context.judge(&credentials, judge).await?;
        self.context.check_unchanged(&caller)?;
        let leases = ids.into_iter().map(|id| LeaseStatus { id }).collect();
        let answer = LeaseLeasesResponse { header: self.context.header_now(), leases };
        self.context.answers.carry(answer).await
    }
}
