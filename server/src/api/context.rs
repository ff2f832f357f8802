//! What every handler needs, and the steps they share: propose, linearize, fill headers, admit by quota.

use super::auth_caller::LoginOptions;
use super::auth_passwords::Passwords;
use super::budget::AnswerBudget;
use super::intake::Intake;
use super::status;
use crate::apply::{Outcome, Reply, State};
use crate::clock::SharedClock;
use crate::metrics::{Metrics, RequestKind};
use crate::raft::Raft;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::{AlarmRequest, AlarmType, InternalRaftRequest, ResponseHeader};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::Status;

/// Limits and times that handlers heed; the names are those of the flags.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `--max-txn-ops`.
    pub txn_ops_max: usize,
    /// `--max-request-bytes`.
    pub request_bytes_max: usize,
    /// `--quota-backend-bytes`; 0 or less for no quota.
    pub quota_bytes: i64,
    /// Smallest lease TTL, in seconds.
    pub lease_ttl_min: i64,
    /// `--max-concurrent-streams`.
    pub concurrent_streams_max: u32,
    /// `--max-learners`.
    pub learners_max: usize,
    /// `--strict-reconfig-check`.
    pub strict_reconfig_check: bool,
    /// `--warning-apply-duration`; zero for no warning.
    pub slow_apply: Duration,
    /// `--warning-unary-request-duration`.
    pub slow_call: Duration,
    /// `--watch-progress-notify-interval`.
    pub progress_interval: Duration,
    /// `--election-timeout`.
    pub election: Duration,
    /// Time a write waits for its answer.
    pub request_timeout: Duration,
    /// Feature gate `StopGRPCServiceOnDefrag`: health says no during a defragmentation.
    pub stops_service_on_defrag: bool,
}

/// What is served beside gRPC, and to whom; the names are those of the flags.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// `--enable-grpc-gateway`.
    pub has_gateway: bool,
    /// `--cors`: origins that may read answers in a browser; `*` for all.
    pub cors: Vec<String>,
    /// `--host-whitelist`: names under which plain HTTP may be asked; `*` for all.
    pub host_whitelist: Vec<String>,
}

/// Shared by all handlers of a member.
pub struct Context {
    /// Order and read indexes.
    pub raft: Raft<Outcome>,
    /// Applied state.
    pub state: Arc<State>,
    /// Limits and times.
    pub limits: Limits,
    /// Memory of large answers.
    pub answers: AnswerBudget,
    /// Memory of requests that are still coming.
    pub intake: Arc<Intake>,
    /// How callers prove who they are.
    pub login: LoginOptions,
    /// What hashes and checks passwords.
    pub passwords: Passwords,
    /// What is served beside gRPC.
    pub http: HttpOptions,
    /// Counters.
    pub metrics: Metrics,
    /// Time.
    pub clock: SharedClock,
    /// Turns true when the member stops; streams end then.
    pub stop: watch::Receiver<bool>,
    /// Revision up to which the physical part of compaction is done.
    pub compacted: watch::Receiver<i64>,
}

/// How handlers hold the context.
pub type SharedContext = Arc<Context>;

/// The revision of an answer that says no more than that.
///
/// # Errors
/// The reply is of another kind.
pub(super) fn done(reply: Reply) -> Result<i64, Status> {
    match reply {
        Reply::Done { revision } => Ok(revision),
        other => Err(status::unexpected_reply(&other)),
    }
}

impl Context {
    /// A header with the revision of an answer.
    pub fn header(&self, revision: i64) -> Option<ResponseHeader> {
        let cluster = &self.state.cluster;
        let raft_term = self.raft.term();
        let (cluster_id, member_id) = (cluster.cluster_id(), cluster.local_id());
        Some(ResponseHeader { cluster_id, member_id, revision, raft_term })
    }

    /// A header with the store revision of now.
    pub fn header_now(&self) -> Option<ResponseHeader> {
        self.header(self.state.revision())
    }

    /// Proposes a request and waits for its outcome on this member.
    ///
    /// # Errors
    /// The deterministic error of the outcome, or why there is no outcome.
    pub fn propose(
        &self,
        request: InternalRaftRequest,
    ) -> impl Future<Output = Result<Reply, Status>> + Send + use<'_> {
        let (kind, started) = (RequestKind::of(&request), Instant::now());
        let proposed = self.raft.propose(request);
        async move {
            let outcome = proposed.await;
            // As in etcd, a request that was applied is a success whatever it answers.
            let times = &self.metrics.server.request_times;
            times.observe(kind, outcome.is_ok(), started.elapsed());
            match outcome {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(error)) => Err(error.into()),
                Err(error) => Err(status::from_propose(&error)),
            }
        }
    }

    /// Proposes a request whose answer says no more than the revision.
    ///
    /// # Errors
    /// As [`Context::propose`].
    pub async fn propose_done(&self, request: InternalRaftRequest) -> Result<i64, Status> {
        done(self.propose(request).await?)
    }

    /// Waits until this member's state is at least as new as everything acknowledged before the call.
    ///
    /// # Errors
    /// No quorum confirmed the leader in time, or the leader changed.
    pub async fn linearize(&self) -> Result<(), Status> {
        self.raft.read_index().await.map(|_| ()).map_err(status::from_read_index)
    }

    /// Refuses a write of this cost, in bytes, that would pass the quota, and raises NOSPACE for this member.
    ///
    /// # Errors
    /// [`EtcdError::NoSpace`].
    pub async fn admit(&self, cost: usize) -> Result<(), Status> {
        let quota = self.limits.quota_bytes;
        if quota <= 0 {
            return Ok(());
        }
        let size = self.state.backend.sizes().quota_bytes();
        if size.saturating_add(cost as u64) < quota.unsigned_abs() {
            return Ok(());
        }
        // Boxed: this hardly ever happens, and its future is larger than that of the write itself.
        Box::pin(self.raise_no_space()).await;
        Err(EtcdError::NoSpace.into())
    }

    async fn raise_no_space(&self) {
        if self.state.alarms.is_raised(AlarmType::Nospace) {
            return;
        }
        let alarm = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: self.state.cluster.local_id(),
            alarm: AlarmType::Nospace as i32,
        };
        tracing::warn!(
            quota_bytes = self.limits.quota_bytes,
            "message exceeded backend quota; raising alarm"
        );
        let request = InternalRaftRequest { alarm: Some(alarm), ..InternalRaftRequest::default() };
        if let Err(error) = self.propose(request).await {
            tracing::warn!(%error, "failed to raise the NOSPACE alarm");
        }
    }

    /// Waits until the member stops.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // A dropped sender means that the member is gone already.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}
