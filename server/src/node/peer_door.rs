//! The peer port: members talk gRPC here, and may ask over plain HTTP who belongs to the cluster.
//!
//! Nothing of the client API is served here, as in etcd since 3.6.

use super::join::CLUSTER_ID_HEADER;
use crate::api::Listener;
use crate::cluster::{ClusterState, Member};
use crate::raft::grpc::PeerService;
use crate::tls::Acceptor;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use quorate_proto::quoratepb::peer_server::PeerServer;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Status;
use tower::Service;

/// Bytes a peer may send on one stream, and on one connection, before it must wait.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Connections at a time. Each peer has two, and asks over a few more.
const CONNECTIONS_MAX: usize = 1024;
/// Time for the head of an HTTP/1.1 request.
const HEADER_READ_TIME: Duration = Duration::from_secs(10);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Body = UnsyncBoxBody<Bytes, Status>;

#[derive(Clone)]
struct PeerDoor {
    service: PeerServer<PeerService>,
    cluster: Arc<ClusterState>,
}

/// Begins to accept peers.
pub(super) fn open(
    tasks: &mut JoinSet<()>,
    listeners: Vec<(Listener, Acceptor)>,
    service: PeerServer<PeerService>,
    cluster: &Arc<ClusterState>,
) {
    let door = PeerDoor { service, cluster: cluster.clone() };
    for (listener, acceptor) in listeners {
        tasks.spawn(accept(listener, acceptor, door.clone()));
    }
}

async fn accept(listener: Listener, acceptor: Acceptor, door: PeerDoor) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        tokio::select! {
            incoming = listener.accept_any() => match incoming {
                Ok(incoming) => {
                    let (acceptor, door) = (acceptor.clone(), door.clone());
                    connections.spawn(async move {
                        if let Some(socket) = incoming.admit(&acceptor).await {
                            serve(TokioIo::new(socket), door).await;
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a peer connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve<I>(io: I, door: PeerDoor)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(256 * 1024);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIME);
    if let Err(error) = builder.serve_connection(io, door).await {
        tracing::debug!(%error, "peer connection ended");
    }
}

impl hyper::service::Service<Request<Incoming>> for PeerDoor {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut door = self.clone();
        Box::pin(async move {
            if request.uri().path().starts_with("/quoratepb.") {
                let response = door.service.call(request).await;
                return response.map(|response| response.map(BodyExt::boxed_unsync));
            }
            Ok(door.page(&request))
        })
    }
}

impl PeerDoor {
    fn page(&self, request: &Request<Incoming>) -> Response<Body> {
        let (status, body) = match request.uri().path() {
            "/members" => (StatusCode::OK, self.members()),
            _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"404 page not found\n")),
        };
        let body = Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        if let Ok(id) = format!("{:x}", self.cluster.cluster_id()).parse() {
            response.headers_mut().insert(CLUSTER_ID_HEADER, id);
        }
        response
    }

    fn members(&self) -> Bytes {
        let members: Vec<Member> =
            self.cluster.members().iter().map(|member| Member::clone(member)).collect();
        serde_json::to_vec(&members).unwrap_or_default().into()
    }
}
