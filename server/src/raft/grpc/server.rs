//! The called end: checks who calls, then hands on to raft.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use quorate_proto::quoratepb as pb;
use quorate_proto::quoratepb::peer_server::{Peer, PeerServer};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Request, Response, Status, Streaming};

use super::client::{GrpcTransport, append_size, relay_size};
use super::peer::PeerLink;
use super::wire::{CALLER, CLUSTER, Identity, KIND_PING, MESSAGE_MAX, REMOVED, TARGET};
use crate::raft::transport::{Answers, PeerError, PeerHandler};
use crate::types::MemberId;

/// Time between two complaints about strangers.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The service on the peer port.
pub struct PeerService {
    identity: Identity,
    handler: Arc<dyn PeerHandler>,
    /// Where the traffic with each peer is counted.
    transport: GrpcTransport,
    complained: Mutex<Option<Instant>>,
}

/// The service, ready to be mounted in a server.
pub fn peer_service(
    identity: Identity,
    handler: Arc<dyn PeerHandler>,
    transport: GrpcTransport,
) -> PeerServer<PeerService> {
    let service = PeerService { identity, handler, transport, complained: Mutex::default() };
    PeerServer::new(service)
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX)
}

type Output<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn id(metadata: &MetadataMap, key: &str) -> Option<u64> {
    metadata.get(key)?.to_str().ok()?.parse().ok()
}

fn status(error: &PeerError) -> Status {
    match error {
        PeerError::Removed => {
            let mut status = Status::permission_denied(error.to_string());
            status.metadata_mut().insert(REMOVED, AsciiMetadataValue::from_static("1"));
            status
        }
        PeerError::Timeout => Status::deadline_exceeded(error.to_string()),
        PeerError::Refused(reason) => Status::aborted(reason.clone()),
        PeerError::Unreachable(_) | PeerError::ClusterMismatch { .. } => {
            Status::unavailable(error.to_string())
        }
    }
}

impl PeerService {
    /// Who calls, if it is welcome.
    fn admit<T>(&self, request: &Request<T>) -> Result<MemberId, Status> {
        let metadata = request.metadata();
        let ours = self.identity.cluster_id;
        let theirs = id(metadata, CLUSTER);
        let from = id(metadata, CALLER).unwrap_or(0);
        if theirs != Some(ours) {
            self.complain(from, theirs);
            let mut status = Status::failed_precondition("cluster ID mismatch");
            status.metadata_mut().insert(CLUSTER, AsciiMetadataValue::from(ours));
            return Err(status);
        }
        if id(metadata, TARGET) != Some(self.identity.member_id) {
            // Somebody else lived at this address before.
            return Err(Status::unavailable(format!(
                "this is member {:x}",
                self.identity.member_id
            )));
        }
        self.handler.admit(from).map_err(|error| status(&error))?;
        if let Some(link) = self.transport.link(from) {
            link.called();
        }
        Ok(from)
    }

    fn complain(&self, from: MemberId, theirs: Option<u64>) {
        let mut complained = self.complained.lock();
        if complained.is_some_and(|at| at.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        *complained = Some(Instant::now());
        let theirs = theirs.map_or_else(|| "none".to_owned(), |id| format!("{id:x}"));
        tracing::error!(
            remote_member_id = format_args!("{from:x}"),
            remote_cluster_id = theirs,
            local_cluster_id = format_args!("{:x}", self.identity.cluster_id),
            "request cluster ID mismatch"
        );
    }
}

/// Bytes of an answer to an append or a relayed request, as the calling end counts them.
const ANSWER_BYTES: usize = 16;

/// The messages of a peer's stream until it ends or breaks, counted.
fn until_broken<T: Send + 'static>(
    stream: Streaming<T>,
    link: Option<Arc<PeerLink>>,
    size: fn(&T) -> usize,
) -> futures::stream::BoxStream<'static, T> {
    let count = move |item: Result<T, Status>| {
        match (&item, &link) {
            (Ok(message), Some(link)) => link.received(size(message)),
            (Err(_), Some(link)) => link.broke_off(),
            _ => {}
        }
        std::future::ready(item.ok())
    };
    stream.scan(count, |count, item| count(item)).boxed()
}

fn output<T: Send + 'static>(
    answers: Answers<T>,
    link: Option<Arc<PeerLink>>,
) -> Response<Output<T>> {
    let answers = answers.map(move |answer| {
        if let Some(link) = &link {
            link.answered_with(ANSWER_BYTES);
        }
        answer.map_err(|error| status(&error))
    });
    Response::new(Box::pin(answers))
}

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = Output<pb::AppendResponse>;
    type RelayStream = Output<pb::RelayResponse>;

    async fn append(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let from = self.admit(&request)?;
        let link = self.transport.link(from);
        let requests = until_broken(request.into_inner(), link.clone(), append_size);
        Ok(output(self.handler.append(from, requests), link))
    }

    async fn vote(
        &self,
        request: Request<pb::VoteRequest>,
    ) -> Result<Response<pb::VoteResponse>, Status> {
        self.admit(&request)?;
        let answer = self.handler.vote(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| status(&error))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        self.admit(&request)?;
        let answer = self.handler.transfer_leader(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| status(&error))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotChunk>>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        self.admit(&request)?;
        let broken = |status: Status| PeerError::Unreachable(status.message().to_owned());
        let chunks = request.into_inner().map(move |chunk| chunk.map_err(broken)).boxed();
        let answer = self.handler.install_snapshot(chunks).await;
        answer.map(Response::new).map_err(|error| status(&error))
    }

    async fn relay(
        &self,
        request: Request<Streaming<pb::RelayRequest>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let from = self.admit(&request)?;
        let link = self.transport.link(from);
        let requests = until_broken(request.into_inner(), link.clone(), relay_size);
        Ok(output(self.handler.relay(from, requests), link))
    }

    async fn forward(
        &self,
        request: Request<pb::ForwardRequest>,
    ) -> Result<Response<pb::ForwardResponse>, Status> {
        let from = self.admit(&request)?;
        let request = request.into_inner();
        if request.kind == KIND_PING {
            return Ok(Response::new(pb::ForwardResponse::default()));
        }
        let answer = self.handler.forward(from, request).await;
        answer.map(Response::new).map_err(|error| status(&error))
    }
}
