//! The Maintenance service (`reference/etcd-api.md`, section 9).

use super::context::SharedContext;
use super::{snapshot, status};
use crate::apply::Reply;
use crate::types::{ETCD_VERSION, QUOTA_BYTES_DEFAULT};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::downgrade_request::DowngradeAction;
use quorate_proto::etcdserverpb::maintenance_server::Maintenance;
use quorate_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeInfo, DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest,
    HashResponse, InternalRaftRequest, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest,
    SnapshotResponse, StatusRequest, StatusResponse,
};
use quorate_proto::membershippb::DowngradeInfoSetRequest;
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// Handlers of the Maintenance service.
pub struct MaintenanceApi {
    context: SharedContext,
}

impl MaintenanceApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> MaintenanceApi {
        MaintenanceApi { context }
    }
}

/// Runs something slow off the serving thread.
async fn off_thread<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<Result<T, E>, Status>
where
    T: Send + 'static,
    E: Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))
}

/// How Go prints an alarm; `Status.errors` and `etcdctl alarm list` show it.
pub(super) fn alarm_text(alarm: AlarmMember) -> String {
    let kind = match alarm.alarm() {
        AlarmType::None => "NONE",
        AlarmType::Nospace => "NOSPACE",
        AlarmType::Corrupt => "CORRUPT",
    };
    format!("memberID:{} alarm:{kind} ", alarm.member_id)
}

#[tonic::async_trait]
impl Maintenance for MaintenanceApi {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let request = request.into_inner();
        if request.action == AlarmAction::Get as i32 {
            self.context.require_user(&credentials).await?;
        } else {
            self.context.require_root(&credentials).await?;
        }
        // An unknown action ends real etcd; here it is refused.
        if AlarmAction::try_from(request.action).is_err()
            || AlarmType::try_from(request.alarm).is_err()
        {
            return Err(Status::invalid_argument("etcdserver: unknown alarm action or type"));
        }
        let proposal =
            InternalRaftRequest { alarm: Some(request), ..InternalRaftRequest::default() };
        match self.context.propose_as(&credentials, proposal).await? {
            Reply::Alarm { revision, alarms } => {
                Ok(Response::new(AlarmResponse { header: self.context.header(revision), alarms }))
            }
            other => Err(status::unexpected_reply(&other)),
        }
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        self.context.require_user(&self.context.credentials(&request)).await?;
        let context = &self.context;
        let leader = context.raft.leader();
        let sizes = context.state.backend.sizes();
        let quota = context.limits.quota_bytes;
        let mut errors = Vec::new();
        if leader.is_none() {
            errors.push(EtcdError::NoLeader.text().to_owned());
        }
        errors.extend(context.state.alarms.list(AlarmType::None).into_iter().map(alarm_text));
        let downgrade = context.state.cluster.downgrade();
        Ok(Response::new(StatusResponse {
            header: context.header_now(),
            version: ETCD_VERSION.to_owned(),
            db_size: sizes.total_bytes.cast_signed(),
            leader: leader.unwrap_or_default(),
            raft_index: context.raft.commit_index(),
            raft_term: context.raft.term(),
            raft_applied_index: context.raft.applied_index(),
            errors,
            db_size_in_use: sizes.in_use_bytes.cast_signed(),
            is_learner: context.state.cluster.is_local_learner(),
            storage_version: context.state.storage_version(),
            db_size_quota: if quota == 0 { QUOTA_BYTES_DEFAULT } else { quota },
            downgrade_info: Some(DowngradeInfo {
                enabled: downgrade.enabled,
                target_version: downgrade.target_version,
            }),
        }))
    }

    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        tracing::info!("starting defragment");
        let backend = self.context.state.backend.clone();
        self.context.metrics.disk.defrag_inflight.set(1);
        let timer = self.context.metrics.disk.defrag.start_timer();
        let report = off_thread(move || backend.defragment()).await;
        timer.observe_duration();
        self.context.metrics.disk.defrag_inflight.set(0);
        let report = report?.map_err(|error| Status::unknown(error.to_string()))?;
        tracing::info!(?report, "finished defragment");
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        let store = self.context.state.store();
        let timer = self.context.metrics.store.hash.start_timer();
        let hash = off_thread(move || store.hash()).await?;
        timer.observe_duration();
        let hash = hash.map_err(|error| status::from_mvcc(&error))?;
        Ok(Response::new(HashResponse { header: self.context.header_now(), hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        let revision = request.into_inner().revision;
        let store = self.context.state.store();
        let timer = self.context.metrics.store.hash_kv.start_timer();
        let hash = off_thread(move || store.hash_kv(revision)).await?;
        timer.observe_duration();
        let hash = hash.map_err(|error| status::from_mvcc(&error))?;
        Ok(Response::new(HashKvResponse {
            header: self.context.header_now(),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        }))
    }

    type SnapshotStream =
        Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send + 'static>>;

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        Ok(Response::new(Box::pin(snapshot::start(&self.context)?)))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        let target = request.into_inner().target_id;
        let context = &self.context;
        let local = context.state.cluster.local_id();
        if context.raft.leader() != Some(local) {
            return Err(EtcdError::NotLeader.into());
        }
        let is_voter =
            context.state.cluster.member(target).is_some_and(|member| !member.is_learner);
        if !is_voter {
            return Err(EtcdError::BadLeaderTransferee.into());
        }
        let (from, to) =
            (format_args!("{local:x}").to_string(), format_args!("{target:x}").to_string());
        tracing::info!(current_leader = from, transferee = to, "leadership transfer starting");
        context.raft.transfer_leader(target).await.map_err(status::from_transfer)?;
        tracing::info!(old_leader = from, new_leader = to, "leadership transfer finished");
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        self.context.require_root(&self.context.credentials(&request)).await?;
        let request = request.into_inner();
        let Ok(action) = DowngradeAction::try_from(request.action) else {
            return Err(Status::unknown("etcdserver: unknown method"));
        };
        let info = match action {
            DowngradeAction::Validate => {
                self.check_downgrade(&request.version).await?;
                None
            }
            DowngradeAction::Enable => {
                let ver = self.check_downgrade(&request.version).await?;
                tracing::info!(target_version = ver, "downgrade is enabled");
                Some(DowngradeInfoSetRequest { enabled: true, ver })
            }
            DowngradeAction::Cancel => {
                self.context.linearize().await?;
                let is_enabled = self.context.state.cluster.downgrade().enabled;
                if !is_enabled {
                    let error = EtcdError::NoInflightDowngrade.text();
                    tracing::warn!(error, "failed to cancel downgrade");
                }
                is_enabled.then(DowngradeInfoSetRequest::default)
            }
        };
        if let Some(info) = info {
            let downgrade_info_set = Some(info);
            let proposal = InternalRaftRequest { downgrade_info_set, ..Default::default() };
            self.context.propose_done(proposal).await?;
        }
        let version = self.context.state.cluster.version().unwrap_or_default();
        let version = version.rsplit_once('.').map(|(short, _)| short.to_owned());
        let version = version.unwrap_or_default();
        Ok(Response::new(DowngradeResponse { header: self.context.header_now(), version }))
    }
}

/// Major and minor of `X.Y` or `X.Y.Z`.
fn major_minor(version: &str) -> Option<(u64, u64)> {
    let parts: Vec<u64> = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    match parts[..] {
        [major, minor] | [major, minor, _] => Some((major, minor)),
        _ => None,
    }
}

impl MaintenanceApi {
    /// Checks a target and returns it as the log wants it: the line below the cluster's, and one at a time.
    async fn check_downgrade(&self, version: &str) -> Result<String, Status> {
        let Some(target) = major_minor(version) else {
            return Err(EtcdError::WrongDowngradeTargetVersionFormat.into());
        };
        self.context.linearize().await?;
        let cluster = &self.context.state.cluster;
        let now = cluster.version();
        let Some((major, minor)) = now.as_deref().and_then(major_minor) else {
            return Err(EtcdError::ClusterVersionUnavailable.into());
        };
        if Some(target) != minor.checked_sub(1).map(|minor| (major, minor)) {
            return Err(EtcdError::InvalidDowngradeTargetVersion.into());
        }
        if cluster.downgrade().enabled {
            return Err(EtcdError::DowngradeInProgress.into());
        }
        Ok(format!("{}.{}.0", target.0, target.1))
    }
}
