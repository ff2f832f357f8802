//! Requests that only the leader can answer, carried to it by raft's peer connections.

use super::context::{Context, SharedContext};
use super::{cluster, lease};
use crate::raft::{ForwardError, ForwardHandler};
use crate::types::MemberId;
use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseTimeToLiveRequest, MemberPromoteRequest,
};
use std::sync::{Arc, OnceLock};
use tonic::{Code, Status};

/// What is asked. The numbers are on the wire between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardKind {
    /// Renew a lease.
    LeaseKeepAlive = 1,
    /// Tell a lease's remaining time.
    LeaseTimeToLive = 2,
    /// Promote a learner, which only the leader can judge.
    MemberPromote = 3,
}

impl ForwardKind {
    fn from_wire(number: u32) -> Option<ForwardKind> {
        let all =
            [ForwardKind::LeaseKeepAlive, ForwardKind::LeaseTimeToLive, ForwardKind::MemberPromote];
        all.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// Asks the leader.
///
/// # Errors
/// There is no leader, it cannot be reached, or it answered with an error of its own.
pub async fn to_leader(
    context: &Context,
    kind: ForwardKind,
    body: Vec<u8>,
) -> Result<Bytes, Status> {
    let Some(leader) = context.raft.leader() else {
        return Err(EtcdError::NoLeader.into());
    };
    let timeout = context.limits.request_timeout;
    match context.raft.forward(leader, kind as u32, body.into(), timeout).await {
        Ok(answer) => Ok(answer),
        Err(ForwardError::Refused(refusal)) => Err(decode_status(&refusal)),
        Err(ForwardError::Unreachable(reason)) => {
            tracing::debug!(%reason, leader = format_args!("{leader:x}"), "leader cannot be reached");
            Err(EtcdError::TimeoutDueToConnectionLost.into())
        }
    }
}

/// A status between members: its code, a zero byte, its text.
fn encode_status(status: &Status) -> Bytes {
    let mut bytes = vec![i32::from(status.code()) as u8, 0];
    bytes.extend_from_slice(status.message().as_bytes());
    bytes.into()
}

fn decode_status(bytes: &[u8]) -> Status {
    match bytes {
        [code, 0, text @ ..] => {
            Status::new(Code::from(i32::from(*code)), String::from_utf8_lossy(text).into_owned())
        }
        _ => Status::internal("etcdserver: damaged answer from the leader"),
    }
}

/// A request that puts the remaining seconds of leases into the log.
pub fn checkpoint_request(leases: &[(i64, i64)]) -> InternalRaftRequest {
    let checkpoint = |(id, remaining_ttl): &(i64, i64)| LeaseCheckpoint {
        id: *id,
        remaining_ttl: *remaining_ttl,
    };
    let checkpoints = leases.iter().map(checkpoint).collect();
    let lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
    InternalRaftRequest { lease_checkpoint, ..InternalRaftRequest::default() }
}

/// Answers what followers forward. It exists before the context does, because raft starts first.
#[derive(Clone, Default)]
pub struct Forwarded {
    context: Arc<OnceLock<SharedContext>>,
}

impl Forwarded {
    /// Gives the handler what it answers from; until then every request is refused.
    pub fn open(&self, context: SharedContext) {
        // A second call would be a defect of the node; the first context stays.
        let _ = self.context.set(context);
    }
}

async fn answer(context: &SharedContext, kind: u32, body: Bytes) -> Result<Bytes, Status> {
    let damaged = |error: prost::DecodeError| Status::internal(error.to_string());
    match ForwardKind::from_wire(kind) {
        Some(ForwardKind::LeaseKeepAlive) => {
            let request = LeaseKeepAliveRequest::decode(body).map_err(damaged)?;
            let ttl = lease::renew_here(context, request.id).await?;
            let response = LeaseKeepAliveResponse { header: None, id: request.id, ttl };
            Ok(response.encode_to_vec().into())
        }
        Some(ForwardKind::LeaseTimeToLive) => {
            let request = LeaseTimeToLiveRequest::decode(body).map_err(damaged)?;
            if !context.state.lessor.is_leading() {
                return Err(EtcdError::LeaderChanged.into());
            }
            Ok(lease::time_to_live_here(context, &request).encode_to_vec().into())
        }
        Some(ForwardKind::MemberPromote) => {
            let request = MemberPromoteRequest::decode(body).map_err(damaged)?;
            cluster::promote_here(context, request.id).await?;
            Ok(Bytes::new())
        }
        None => Err(Status::unimplemented("etcdserver: unknown forwarded request")),
    }
}

impl ForwardHandler for Forwarded {
    fn handle(
        &self,
        _from: MemberId,
        kind: u32,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Bytes>> {
        let context = self.context.get().cloned();
        Box::pin(async move {
            let Some(context) = context else {
                return Err(encode_status(&EtcdError::NotLeader.into()));
            };
            answer(&context, kind, body).await.map_err(|status| encode_status(&status))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status survives the way between members.
    #[test]
    fn statuses_travel() {
        let status = Status::from(EtcdError::LeaseNotFound);
        let back = decode_status(&encode_status(&status));
        assert_eq!((back.code(), back.message()), (status.code(), status.message()));
        assert_eq!(decode_status(b"").code(), Code::Internal);
    }
}
