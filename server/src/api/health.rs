//! `grpc.health.v1.Health`: only the empty service name is known, and a member that answers at all is serving.

use super::context::SharedContext;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Time between two looks at the state for a watching client.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Handlers of the health service.
pub struct HealthApi {
    context: SharedContext,
}

impl HealthApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> HealthApi {
        HealthApi { context }
    }
}

fn serving(context: &SharedContext) -> HealthCheckResponse {
    let is_defragmenting =
        context.limits.stops_service_on_defrag && context.metrics.disk.defrag_inflight.get() > 0;
    let is_serving = !*context.stop.borrow() && !is_defragmenting;
    let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status as i32 }
}

#[tonic::async_trait]
impl Health for HealthApi {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.get_ref().service.is_empty() {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(serving(&self.context)))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        let context = self.context.clone();
        let is_known = request.get_ref().service.is_empty();
        tokio::spawn(async move {
            if !is_known {
                let status = ServingStatus::ServiceUnknown as i32;
                let _ = sender.send(Ok(HealthCheckResponse { status })).await;
                sender.closed().await;
                return;
            }
            let mut last = None;
            loop {
                let now = serving(&context);
                if last != Some(now) && sender.send(Ok(now)).await.is_err() {
                    return;
                }
                last = Some(now);
                tokio::select! {
                    () = tokio::time::sleep(WATCH_INTERVAL) => {}
                    () = sender.closed() => return,
                }
                if *context.stop.borrow() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
