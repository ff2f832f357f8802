//! The Lock service (`reference/etcd-api.md`, section 11): the first in the queue under a name owns it.

use super::context::SharedContext;
use super::turn::{Caller, Place, prefix, to_its_end};
use bytes::Bytes;
use quorate_proto::etcdserverpb::RangeRequest;
use quorate_proto::v3lockpb::lock_server::Lock;
use quorate_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Handlers of the Lock service.
pub struct LockApi {
    context: SharedContext,
}

impl LockApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> LockApi {
        LockApi { context }
    }
}

async fn lock(
    caller: Caller,
    request: LockRequest,
    gone: CancellationToken,
) -> Result<LockResponse, Status> {
    let prefix = prefix(&request.name);
    let lease = caller.lease(request.lease).await?;
    let place = caller.queue_up(&prefix, lease, Bytes::new()).await?;
    if place.is_first() {
        if gone.is_cancelled() && place.found_value.is_none() {
            caller.leave_for_sure(&place).await;
        }
        return Ok(LockResponse { header: place.header, key: place.key });
    }
    let outcome = tokio::select! {
        outcome = wait(&caller, &prefix, &place) => outcome,
        () = gone.cancelled() => Err(Status::cancelled("context canceled")),
    };
    match outcome {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Err(Status::unknown("mutex: session is expired")),
        Err(status) => {
            caller.leave_for_sure(&place).await;
            Err(status)
        }
    }
}

/// Waits for the turn; `None` where the key went meanwhile.
async fn wait(
    caller: &Caller,
    prefix: &Bytes,
    place: &Place,
) -> Result<Option<LockResponse>, Status> {
    caller.wait_turn(prefix, place.revision).await?;
    let own = RangeRequest { key: place.key.clone(), ..RangeRequest::default() };
    let answer = caller.range(own).await?;
    let is_there = !answer.kvs.is_empty();
    Ok(is_there.then(|| LockResponse { header: answer.header, key: place.key.clone() }))
}

#[tonic::async_trait]
impl Lock for LockApi {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let caller = Caller::of(&self.context, &request);
        let response = to_its_end(|gone| lock(caller, request.into_inner(), gone)).await?;
        Ok(Response::new(response))
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let caller = Caller::of(&self.context, &request);
        let header = caller.delete(request.into_inner().key).await?;
        Ok(Response::new(UnlockResponse { header }))
    }
}
