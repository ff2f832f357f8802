//! The Cluster service (`reference/etcd-api.md`, section 8): etcd's checks first, then one configuration entry.

use super::context::{Context, SharedContext};
use super::forward::{self, ForwardKind};
use super::status;
use crate::cluster::{ChangeCheck, ConfChangeContext, Link, Member, check_change, to_wire};
use crate::raft::ProposeError;
use futures::future::BoxFuture;
use prost::Message;
use quorate_etcd_files::ids;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::cluster_server::Cluster;
use quorate_proto::etcdserverpb::{
    self as pb, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse,
};
use quorate_proto::raftpb::{ConfChange, ConfChangeType};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How long members must have been connected before a change (`etcd:server/etcdserver/server.go`, HealthInterval).
const CONNECTED_TIME: Duration = Duration::from_secs(5);

/// Handlers of the Cluster service.
pub struct ClusterApi {
    context: SharedContext,
}

impl ClusterApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> ClusterApi {
        ClusterApi { context }
    }

    /// Headers of this service carry no revision.
    fn header(&self) -> Option<pb::ResponseHeader> {
        self.context.header(0)
    }

    fn members(&self) -> Vec<pb::Member> {
        self.context.state.cluster.members().iter().map(|member| to_wire(member)).collect()
    }

    fn check(&self, change: &ChangeCheck<'_>) -> Result<(), EtcdError> {
        check(&self.context, change)
    }
}

fn check(context: &Context, change: &ChangeCheck<'_>) -> Result<(), EtcdError> {
    let is_connected_for = |id: u64, time| context.raft.is_connected_for(id, time);
    let link = |id: u64| {
        if is_connected_for(id, CONNECTED_TIME) {
            Link::Lasting
        } else if is_connected_for(id, Duration::ZERO) {
            Link::New
        } else {
            Link::Down
        }
    };
    check_change(&context.state.cluster, change, context.limits.strict_reconfig_check, &link)
}

async fn propose(
    context: &Context,
    kind: ConfChangeType,
    change_context: Option<ConfChangeContext>,
    id: u64,
) -> Result<(), Status> {
    let json = change_context.map(|context| serde_json::to_vec(&context)).transpose();
    let json = json.map_err(|error| Status::internal(error.to_string()))?;
    let change = ConfChange {
        id: None,
        r#type: Some(kind as i32),
        node_id: Some(id),
        context: json.map(Into::into),
    };
    match context.raft.propose_conf_change(change).await {
        Ok(outcome) => outcome.map(|_| ()).map_err(Into::into),
        Err(error) => {
            if let ProposeError::ChangeRefused(reason) = &error {
                tracing::warn!(%reason, "membership change refused");
            }
            Err(status::from_propose(&error))
        }
    }
}

/// A learner may vote once it has nine tenths of the leader's log.
pub fn is_in_sync(context: &Context, id: u64) -> bool {
    let matched = context.raft.match_indexes().get(&id).copied().unwrap_or_default();
    matched.saturating_mul(10) >= context.raft.status().last_index.saturating_mul(9)
}

/// Promotes a learner for the member itself, which needs nobody's permission.
pub fn promote_learner(context: SharedContext, id: u64) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        promote_here(&context, id).await.map_err(|status| status.message().to_owned())
    })
}

/// Promotes a learner; only the leader knows how far it is.
pub(super) async fn promote_here(context: &Context, id: u64) -> Result<(), Status> {
    let result = try_promote(context, id).await;
    let server = &context.metrics.server;
    match &result {
        Ok(()) => server.learner_promote_successes.inc(),
        Err(status) => {
            server.learner_promote_failures.with_label_values(&[status.message()]).inc();
        }
    }
    result
}

async fn try_promote(context: &Context, id: u64) -> Result<(), Status> {
    check(context, &ChangeCheck::Promote { id })?;
    if !is_in_sync(context, id) {
        return Err(EtcdError::LearnerNotReady.into());
    }
    let Some(member) = context.state.cluster.member(id) else {
        return Err(EtcdError::MemberNotFound.into());
    };
    let bare = Member { id, peer_urls: member.peer_urls.clone(), ..Member::default() };
    let change = ConfChangeContext { member: bare, is_promote: true };
    propose(context, ConfChangeType::ConfChangeAddNode, Some(change), id).await
}

#[tonic::async_trait]
impl Cluster for ClusterApi {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let MemberAddRequest { peer_ur_ls: peer_urls, is_learner } = request.into_inner();
        let learners_max = self.context.limits.learners_max;
        let add = ChangeCheck::Add { peer_urls: &peer_urls, is_learner, learners_max };
        let checked = self.check(&add);
        // etcd reads the URLs before it asks who calls; all else is for root only.
        if checked == Err(EtcdError::MemberBadUrls) {
            return Err(EtcdError::MemberBadUrls.into());
        }
        self.context.require_root(&credentials).await?;
        checked?;
        let now = self.context.clock.unix_time().as_secs();
        let id = ids::member_id(&peer_urls, &ids::runtime_token(now));
        if self.context.state.cluster.member(id).is_some()
            || self.context.state.cluster.is_removed(id)
        {
            return Err(EtcdError::MemberExists.into());
        }
        let member = Member { id, peer_urls, is_learner, ..Member::default() };
        let kind = if is_learner {
            ConfChangeType::ConfChangeAddLearnerNode
        } else {
            ConfChangeType::ConfChangeAddNode
        };
        let change = ConfChangeContext { member: member.clone(), is_promote: false };
        propose(&self.context, kind, Some(change), id).await?;
        let member = Some(to_wire(&member));
        Ok(Response::new(MemberAddResponse {
            header: self.header(),
            member,
            members: self.members(),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        let id = request.into_inner().id;
        self.check(&ChangeCheck::Remove { id })?;
        propose(&self.context, ConfChangeType::ConfChangeRemoveNode, None, id).await?;
        Ok(Response::new(MemberRemoveResponse { header: self.header(), members: self.members() }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        let MemberUpdateRequest { id, peer_ur_ls: peer_urls } = request.into_inner();
        self.check(&ChangeCheck::Update { id, peer_urls: &peer_urls })?;
        let member = Member { id, peer_urls, ..Member::default() };
        let change = ConfChangeContext { member, is_promote: false };
        propose(&self.context, ConfChangeType::ConfChangeUpdateNode, Some(change), id).await?;
        Ok(Response::new(MemberUpdateResponse { header: self.header(), members: self.members() }))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let credentials = self.context.credentials(&request);
        if request.into_inner().linearizable {
            self.context.linearize().await?;
        }
        self.context.require_user(&credentials).await?;
        Ok(Response::new(MemberListResponse { header: self.header(), members: self.members() }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        let request = request.into_inner();
        if self.context.raft.leader() == Some(self.context.state.cluster.local_id()) {
            promote_here(&self.context, request.id).await?;
        } else {
            let body = request.encode_to_vec();
            forward::to_leader(&self.context, ForwardKind::MemberPromote, body).await?;
            // The leader has applied it; this member may be a moment behind.
            self.context.linearize().await?;
        }
        Ok(Response::new(MemberPromoteResponse { header: self.header(), members: self.members() }))
    }
}
