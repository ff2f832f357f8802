//! openraft's network over a [`PeerTransport`]: appends as pipelined streams, heartbeats on a lane of their own,
//! snapshots in chunks. Connections and addresses are the transport's business.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use openraft::RaftNetworkFactory;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use parking_lot::Mutex;
use quorate_proto::quoratepb as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::acknowledged::Acknowledged;
use super::apply::Image;
use super::config::{Observer, SNAPSHOT_CHUNK};
use super::core::{CoreSnapshot, LogId, TypeConfig, Vote};
use super::transport::{Answers, Lane, PeerError, SharedTransport};
use super::wire;
use crate::types::MemberId;

/// Chunks of a snapshot that are in memory at once.
const CHUNKS: usize = 4;
/// Heartbeats under way on one stream. openraft sends one at a time.
const HEARTBEATS: usize = 2;

/// Makes links to peers.
pub(super) struct Network {
    pub(super) transport: SharedTransport,
    pub(super) observer: Arc<dyn Observer>,
    /// Told when a peer says that this member has been removed.
    pub(super) removed: tokio::sync::watch::Sender<bool>,
    pub(super) acknowledged: BTreeMap<MemberId, Acknowledged>,
}

impl Network {
    fn link(&mut self, target: MemberId, lane: Lane) -> Link {
        Link {
            acknowledged: self.acknowledged.entry(target).or_default().clone(),
            target,
            lane,
            transport: self.transport.clone(),
            observer: self.observer.clone(),
            removed: self.removed.clone(),
            heartbeats: None,
            last_heartbeat: None,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: MemberId, _: &openraft::EmptyNode) -> Link {
        let link = self.link(target, Lane::Bulk);
        link.acknowledged.clear();
        link
    }

    async fn new_heartbeat_client(&mut self, target: MemberId, _: &openraft::EmptyNode) -> Link {
        self.link(target, Lane::Control)
    }
}

/// The way to one peer, for one purpose of openraft.
pub(super) struct Link {
    target: MemberId,
    lane: Lane,
    acknowledged: Acknowledged,
    transport: SharedTransport,
    observer: Arc<dyn Observer>,
    removed: tokio::sync::watch::Sender<bool>,
    heartbeats: Option<Heartbeats>,
    last_heartbeat: Option<Instant>,
}

/// The stream that carries heartbeats. It is dropped when one is not answered in time, so that a late answer is never
/// taken for that of a later heartbeat.
struct Heartbeats {
    requests: mpsc::Sender<pb::AppendRequest>,
    /// Only ever used through `get_mut`: the lock makes it shareable, as openraft demands.
    answers: Mutex<Answers<pb::AppendResponse>>,
}

type AppendResults<'s> =
    BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;

impl Link {
    fn error(&self, error: &PeerError) -> RPCError<TypeConfig> {
        note_removal(&self.removed, error);
        rpc_error(error)
    }

    async fn heartbeat(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
    ) -> Result<StreamAppendResult<TypeConfig>, PeerError> {
        // Taken out, so that it is gone if this future is dropped in the middle.
        let mut heartbeats = match self.heartbeats.take() {
            Some(heartbeats) => heartbeats,
            None => {
                let (requests, receiver) = mpsc::channel(HEARTBEATS);
                let stream = ReceiverStream::new(receiver).boxed();
                let answers = self.transport.append(self.target, Lane::Control, stream).await?;
                Heartbeats { requests, answers: Mutex::new(answers) }
            }
        };
        let closed = || PeerError::Unreachable("the heartbeat stream has ended".to_owned());
        let now = Instant::now();
        if let Some(last) = self.last_heartbeat.replace(now) {
            self.observer.heartbeat_sent(now - last);
        }
        let request = wire::append_to(&request, self.acknowledged.under(&request.vote));
        heartbeats.requests.send(request).await.map_err(|_| closed())?;
        let answer = heartbeats.answers.get_mut().next().await.ok_or_else(closed)??;
        self.heartbeats = Some(heartbeats);
        Ok(wire::appended_from(answer))
    }
}

fn note_removal(removed: &tokio::sync::watch::Sender<bool>, error: &PeerError) {
    if *error == PeerError::Removed {
        removed.send_if_modified(|removed| !std::mem::replace(removed, true));
    }
}

fn rpc_error(error: &PeerError) -> RPCError<TypeConfig> {
    match error {
        // Worth an immediate retry: the connection is there.
        PeerError::Refused(_) | PeerError::Timeout => RPCError::Network(NetworkError::new(error)),
        _ => RPCError::Unreachable(Unreachable::new(error)),
    }
}

impl NetBackoff<TypeConfig> for Link {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetStreamAppend<TypeConfig> for Link {
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        if self.lane == Lane::Control {
            return Box::pin(async move {
                let Some(request) = input.next().await else {
                    return Ok(stream::empty().boxed());
                };
                let answer = self.heartbeat(request).await.map_err(|error| self.error(&error));
                Ok(stream::once(std::future::ready(answer)).boxed())
            });
        }
        // Boxed before anything is built on it: openraft's own type in each layer costs the compiler minutes.
        let acknowledged = self.acknowledged.clone();
        Box::pin(async move {
            // Taken before the way is opened: it is here, and nowhere else, that openraft waits after an error. A member
            // that is down would otherwise be called without a pause.
            let Some(first) = input.next().await else {
                return Ok(stream::empty().boxed());
            };
            let (vote, known) = (first.vote, acknowledged.clone());
            let requests = stream::once(std::future::ready(first)).chain(input);
            let requests =
                requests.map(move |request| wire::append_to(&request, known.under(&request.vote)));
            let requests = requests.boxed();
            let answers = self
                .transport
                .append(self.target, Lane::Bulk, requests)
                .await
                .map_err(|error| self.error(&error))?;
            let removed = self.removed.clone();
            let answers = answers.map(move |answer| {
                let answer = answer.map(wire::appended_from).map_err(|error| {
                    note_removal(&removed, &error);
                    rpc_error(&error)
                })?;
                if let Ok(Some(stored)) = &answer {
                    acknowledged.note(&vote, stored);
                }
                Ok(answer)
            });
            Ok(answers.boxed())
        })
    }
}

impl NetVote<TypeConfig> for Link {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = wire::vote_to(&request, false);
        let answer = self.transport.vote(self.target, request, option.hard_ttl()).await;
        answer.map(wire::voted_from).map_err(|error| self.error(&error))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = wire::vote_to(&request, true);
        let answer = self.transport.vote(self.target, request, option.hard_ttl()).await;
        answer.map(wire::voted_from).map_err(|error| self.error(&error))
    }
}

impl NetTransferLeader<TypeConfig> for Link {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = wire::transfer_to(&request);
        let answer = self.transport.transfer_leader(self.target, message, option.hard_ttl()).await;
        let answer = answer.map_err(|error| self.error(&error))?;
        if answer.accepted {
            return Ok(Ok(()));
        }
        tracing::warn!(
            target_member = self.target,
            reason = answer.reason,
            "leadership transfer refused"
        );
        let expected = request.last_log_id().copied();
        Ok(Err(TransferLeaderError::LogNotFlushed { expected, actual: None }))
    }
}

impl NetSnapshot<TypeConfig> for Link {
    type SnapshotData = Image;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: CoreSnapshot<Image>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let Image::Source(source) = snapshot.snapshot else {
            let error = PeerError::Refused("the snapshot is not ready to be sent".to_owned());
            return Err(StreamingError::Network(NetworkError::new(&error)));
        };
        let start = Instant::now();
        let last = super::core::log_id(&source.state.mark);
        let header = header(&vote, &last, &source.state.membership);
        let (to, index) = (self.target, last.index);
        tracing::info!(to = format_args!("{to:x}"), index, "sending a snapshot");
        let (sender, chunks) = mpsc::channel(CHUNKS);
        std::thread::Builder::new()
            .name("snapshot-send".to_owned())
            .spawn(move || produce(header, source.write, &sender))
            .map_err(|error| StreamingError::Network(NetworkError::new(&error)))?;
        let sending = self.transport.install_snapshot(to, ReceiverStream::new(chunks).boxed());
        self.observer.snapshot_sending(to);
        let result = tokio::select! {
            closed = cancel => {
                self.observer.snapshot_sent(to, start.elapsed(), true);
                return Err(StreamingError::Closed(closed));
            }
            result = sending => result,
        };
        self.observer.snapshot_sent(to, start.elapsed(), result.is_err());
        match result {
            Ok(answer) => {
                tracing::info!(to = format_args!("{to:x}"), index, "sent database snapshot");
                Ok(SnapshotResponse::new(wire::ballot_from(answer.ballot)))
            }
            Err(error) => {
                tracing::warn!(to = format_args!("{to:x}"), index, %error, "could not send the snapshot");
                note_removal(&self.removed, &error);
                Err(StreamingError::Unreachable(Unreachable::new(&error)))
            }
        }
    }
}

fn header(
    vote: &Vote,
    last: &LogId,
    membership: &super::membership::StoredMembership,
) -> pb::SnapshotHeader {
    pb::SnapshotHeader {
        ballot: Some(wire::ballot_to(vote)),
        last: Some(wire::log_id_to(last)),
        membership: Some(membership.to_message()),
    }
}

/// Writes the image as chunks, on a thread of its own: reading it may block, and so may the network.
fn produce(
    header: pb::SnapshotHeader,
    write: super::machine::WriteImage,
    sender: &mpsc::Sender<pb::SnapshotChunk>,
) {
    let header = pb::SnapshotChunk { header: Some(header), ..Default::default() };
    if sender.blocking_send(header).is_err() {
        return;
    }
    let mut chunks = ChunkWriter { sender, buffer: Vec::with_capacity(SNAPSHOT_CHUNK), crc: 0 };
    // Without the last chunk the receiver knows that the image is not whole.
    if let Err(error) = write(&mut chunks).and_then(|()| chunks.flush()) {
        tracing::warn!(%error, "the snapshot was not sent to its end");
        return;
    }
    let end = pb::SnapshotChunk { crc: Some(chunks.crc), ..Default::default() };
    // The receiver may be gone.
    let _ = sender.blocking_send(end);
}

struct ChunkWriter<'a> {
    sender: &'a mpsc::Sender<pb::SnapshotChunk>,
    buffer: Vec<u8>,
    crc: u32,
}

impl Write for ChunkWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let take = data.len().min(SNAPSHOT_CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&data[..take]);
        if self.buffer.len() == SNAPSHOT_CHUNK {
            self.flush()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(SNAPSHOT_CHUNK));
        let chunk = pb::SnapshotChunk { data: Bytes::from(full), ..Default::default() };
        self.sender.blocking_send(chunk).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
