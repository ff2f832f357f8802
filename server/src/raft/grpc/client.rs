//! The calling end of a peer connection: streams of appends, calls with their time limits, and what an answer says
//! about the peer. How a connection comes about is the dialer's part.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use parking_lot::RwLock;
use quorate_proto::quoratepb as pb;
use quorate_proto::quoratepb::peer_client::PeerClient;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::dialer::{ChannelSettings, Dialer};
use super::peer::PeerLink;
use super::wire::{CALLER, CLUSTER, Identity, KIND_PING, MESSAGE_MAX, REMOVED, TARGET};
use crate::raft::Membership;
use crate::raft::transport::{Answers, Call, Lane, PeerError, PeerStats, PeerTransport};
use crate::types::MemberId;

/// Shortest pause between two pings of a peer.
const PING_MIN: Duration = Duration::from_millis(100);

/// gRPC to the peers. Clones share everything.
#[derive(Clone)]
pub struct GrpcTransport {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    dialer: Arc<dyn Dialer>,
    heartbeat: Duration,
    election: Duration,
    runtime: Handle,
    peers: RwLock<HashMap<MemberId, Arc<PeerLink>>>,
    removed: watch::Sender<bool>,
    round_trips: OnceLock<HearRoundTrip>,
}

/// Hears how long a peer took to answer; returns at once.
pub type HearRoundTrip = Box<dyn Fn(MemberId, Duration) + Send + Sync>;

impl GrpcTransport {
    /// Registers who hears of round trips. Only the first call counts.
    pub fn hear_round_trips(&self, hear: HearRoundTrip) {
        let _ = self.inner.round_trips.set(hear);
    }

    /// What is known about a peer, for whoever serves its streams.
    pub(super) fn link(&self, peer: MemberId) -> Option<Arc<PeerLink>> {
        self.inner.peers.read().get(&peer).cloned()
    }

    /// A transport for one member. Must be called within the runtime that its calls shall run on.
    pub fn new(
        identity: Identity,
        dialer: Arc<dyn Dialer>,
        heartbeat: Duration,
        election: Duration,
    ) -> GrpcTransport {
        let (runtime, peers) = (Handle::current(), RwLock::default());
        let removed = watch::Sender::new(false);
        let round_trips = OnceLock::new();
        let inner =
            Inner { identity, dialer, heartbeat, election, runtime, peers, removed, round_trips };
        GrpcTransport { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn peer(&self, id: MemberId) -> Result<Arc<PeerLink>, PeerError> {
        let unknown = || PeerError::Unreachable("it is not a member that is known here".to_owned());
        self.peers.read().get(&id).cloned().ok_or_else(unknown)
    }

    fn client(&self, peer: &PeerLink, lane: Lane) -> Result<PeerClient<Channel>, PeerError> {
        let patience = self.election.max(Duration::from_millis(500));
        let settings = ChannelSettings {
            lane,
            connect_timeout: patience,
            // A dead connection must be given up before TCP would: after a while without packets TCP waits longer
            // and longer before it tries again. Bulk may keep a ping waiting, so it gets more time.
            ping_interval: patience,
            ping_timeout: match lane {
                Lane::Control => 2 * patience,
                Lane::Bulk => 5 * patience,
            },
        };
        let channel = peer.channel(self.dialer.as_ref(), &settings)?;
        let client = PeerClient::new(channel);
        Ok(client.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX))
    }

    fn request<T>(&self, to: MemberId, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, AsciiMetadataValue::from(self.identity.cluster_id));
        metadata.insert(CALLER, AsciiMetadataValue::from(self.identity.member_id));
        metadata.insert(TARGET, AsciiMetadataValue::from(to));
        request
    }

    fn error(&self, status: &Status) -> PeerError {
        if status.metadata().contains_key(REMOVED) {
            return PeerError::Removed;
        }
        if let Some(theirs) = status.metadata().get(CLUSTER) {
            let theirs = theirs.to_str().ok().and_then(|text| text.parse::<u64>().ok());
            let theirs = theirs.map_or_else(|| "unknown".to_owned(), |id| format!("{id:x}"));
            let ours = self.identity.cluster_id;
            return PeerError::ClusterMismatch { ours, theirs };
        }
        match status.code() {
            tonic::Code::DeadlineExceeded => PeerError::Timeout,
            tonic::Code::Aborted => PeerError::Refused(status.message().to_owned()),
            _ => PeerError::Unreachable(status.message().to_owned()),
        }
    }

    /// One call with its time limit, and the notes about it.
    fn call<Q, A>(
        self: &Arc<Self>,
        to: MemberId,
        lane: Lane,
        message: Q,
        limit: Option<Duration>,
        send: impl FnOnce(
            PeerClient<Channel>,
            Request<Q>,
        ) -> BoxFuture<'static, Result<Response<A>, Status>>
        + Send
        + 'static,
    ) -> Call<A>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let inner = self.clone();
        Box::pin(async move {
            let peer = inner.peer(to)?;
            let client = inner.client(&peer, lane)?;
            let sending = send(client, inner.request(to, message));
            let answer = match limit {
                None => sending.await,
                Some(limit) => match timeout(limit, sending).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Status::deadline_exceeded("no answer in time")),
                },
            };
            answer.map(Response::into_inner).map_err(|status| {
                let error = inner.error(&status);
                peer.failed(&error);
                error
            })
        })
    }

    fn answers<A: Send + 'static>(
        self: &Arc<Self>,
        to: MemberId,
        answers: Streaming<A>,
        size: fn(&A) -> usize,
    ) -> Answers<A> {
        let inner = self.clone();
        let peer = self.peer(to).ok();
        answers
            .map(move |answer| match answer {
                Ok(answer) => {
                    if let Some(peer) = &peer {
                        peer.received_bytes.fetch_add(size(&answer) as u64, Ordering::Relaxed);
                    }
                    Ok(answer)
                }
                Err(status) => {
                    let error = inner.error(&status);
                    if let Some(peer) = &peer {
                        peer.failed(&error);
                    }
                    Err(error)
                }
            })
            .boxed()
    }

    /// Counts what is sent.
    fn counted<Q: Send + 'static>(
        &self,
        to: MemberId,
        requests: BoxStream<'static, Q>,
        size: fn(&Q) -> usize,
    ) -> BoxStream<'static, Q> {
        let Ok(peer) = self.peer(to) else { return requests };
        let count = move |request: &Q| {
            peer.sent_bytes.fetch_add(size(request) as u64, Ordering::Relaxed);
        };
        requests.inspect(count).boxed()
    }

    /// Asks a peer again and again whether it is there, as long as it is a peer.
    async fn ping(self: Arc<Self>, peer: Arc<PeerLink>) {
        let limit = self.election.max(PING_MIN);
        let mut ticks = tokio::time::interval((5 * self.heartbeat).max(PING_MIN).min(limit));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_stranger = false;
        loop {
            ticks.tick().await;
            if !self.peers.read().get(&peer.id).is_some_and(|known| Arc::ptr_eq(known, &peer)) {
                return;
            }
            let start = Instant::now();
            let message = pb::ForwardRequest { kind: KIND_PING, ..Default::default() };
            let ping =
                self.call(peer.id, Lane::Control, message, Some(limit), |mut client, request| {
                    async move { client.forward(request).await }.boxed()
                });
            self.note_ping(&peer, ping.await.map(|_| start.elapsed()), &mut is_stranger);
        }
    }

    fn note_ping(
        &self,
        peer: &PeerLink,
        answer: Result<Duration, PeerError>,
        is_stranger: &mut bool,
    ) {
        let id = format!("{:x}", peer.id);
        let error = match answer {
            Ok(round_trip) => {
                *is_stranger = false;
                if let Some(hear) = self.round_trips.get() {
                    hear(peer.id, round_trip);
                }
                if peer.answered(round_trip) {
                    tracing::info!(peer = id, "peer became active");
                }
                return;
            }
            Err(error) => error,
        };
        if peer.silent() {
            tracing::warn!(peer = id, %error, "lost the connection to a peer");
        }
        match error {
            PeerError::Removed => {
                self.removed.send_if_modified(|removed| !std::mem::replace(removed, true));
            }
            PeerError::ClusterMismatch { ours, theirs } if !*is_stranger => {
                *is_stranger = true;
                tracing::error!(
                    peer = id,
                    local_cluster_id = format_args!("{ours:x}"),
                    remote_cluster_id = theirs,
                    "request sent was ignored by remote peer due to cluster ID mismatch"
                );
            }
            _ => {}
        }
    }
}

/// A stream of requests under a name of its own: the compiler cannot prove that a boxed one may move between threads
/// inside the generated client's futures.
struct Outgoing<Q>(BoxStream<'static, Q>);

impl<Q> Stream for Outgoing<Q> {
    type Item = Q;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Q>> {
        self.0.as_mut().poll_next(context)
    }
}

/// Bytes of an append that matter.
pub(super) fn append_size(request: &pb::AppendRequest) -> usize {
    const AROUND: usize = 48;
    let entry =
        |entry: &quorate_proto::raftpb::Entry| AROUND + entry.data.as_ref().map_or(0, |d| d.len());
    AROUND + request.entries.iter().map(entry).sum::<usize>()
}

pub(super) fn relay_size(request: &pb::RelayRequest) -> usize {
    request.proposals.iter().map(|proposal| proposal.len() + 16).sum::<usize>() + 8
}

impl PeerTransport for GrpcTransport {
    fn update_peers(&self, membership: &Membership) {
        let mut peers = self.inner.peers.write();
        peers.retain(|id, _| membership.members.contains_key(id));
        for (id, peer) in &membership.members {
            if *id == self.inner.identity.member_id {
                continue;
            }
            let link = peers.entry(*id).or_insert_with(|| {
                let link = PeerLink::new(*id);
                self.inner.runtime.spawn(self.inner.clone().ping(link.clone()));
                link
            });
            link.set_urls(&peer.peer_urls);
        }
    }

    fn append(
        &self,
        to: MemberId,
        lane: Lane,
        requests: BoxStream<'static, pb::AppendRequest>,
    ) -> Call<Answers<pb::AppendResponse>> {
        let inner = self.inner.clone();
        let requests = Outgoing(inner.counted(to, requests, append_size));
        let opening = inner.call(to, lane, requests, None, |mut client, request| {
            async move { client.append(request).await }.boxed()
        });
        Box::pin(async move { Ok(inner.answers(to, opening.await?, |_| 24)) })
    }

    fn vote(
        &self,
        to: MemberId,
        request: pb::VoteRequest,
        limit: Duration,
    ) -> Call<pb::VoteResponse> {
        self.inner.call(to, Lane::Control, request, Some(limit), |mut client, request| {
            async move { client.vote(request).await }.boxed()
        })
    }

    fn transfer_leader(
        &self,
        to: MemberId,
        request: pb::TransferLeaderRequest,
        limit: Duration,
    ) -> Call<pb::TransferLeaderResponse> {
        self.inner.call(to, Lane::Control, request, Some(limit), |mut client, request| {
            async move { client.transfer_leader(request).await }.boxed()
        })
    }

    fn install_snapshot(
        &self,
        to: MemberId,
        chunks: BoxStream<'static, pb::SnapshotChunk>,
    ) -> Call<pb::SnapshotResponse> {
        let chunks = Outgoing(self.inner.counted(to, chunks, |chunk| chunk.data.len()));
        self.inner.call(to, Lane::Bulk, chunks, None, |mut client, request| {
            async move { client.install_snapshot(request).await }.boxed()
        })
    }

    fn relay(
        &self,
        to: MemberId,
        requests: BoxStream<'static, pb::RelayRequest>,
    ) -> Call<Answers<pb::RelayResponse>> {
        let inner = self.inner.clone();
        let requests = Outgoing(inner.counted(to, requests, relay_size));
        let opening = inner.call(to, Lane::Bulk, requests, None, |mut client, request| {
            async move { client.relay(request).await }.boxed()
        });
        Box::pin(async move { Ok(inner.answers(to, opening.await?, |_| 16)) })
    }

    fn forward(
        &self,
        to: MemberId,
        request: pb::ForwardRequest,
        limit: Duration,
    ) -> Call<pb::ForwardResponse> {
        self.inner.call(to, Lane::Control, request, Some(limit), |mut client, request| {
            async move { client.forward(request).await }.boxed()
        })
    }

    fn stats(&self, peer: MemberId) -> PeerStats {
        self.inner.peers.read().get(&peer).map(|peer| peer.stats()).unwrap_or_default()
    }

    fn told_removed(&self) -> watch::Receiver<bool> {
        self.inner.removed.subscribe()
    }
}
