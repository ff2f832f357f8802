//! How members reach each other, as an interface: gRPC in production, channels in tests and simulation.
//!
//! The messages are `quoratepb`'s. Which member is asked what, and what an answer means, is not decided here.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use quorate_proto::quoratepb as pb;
use tokio::sync::watch;
use tokio::time::Instant;

use super::membership::Membership;
use crate::types::MemberId;

/// Why a peer gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No connection, or it broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The peer belongs to another cluster.
    #[error("cluster ID mismatch: this is cluster {ours:x}, the peer's is {theirs}")]
    ClusterMismatch {
        /// Our cluster id.
        ours: u64,
        /// What the peer said.
        theirs: String,
    },
    /// The peer knows that this member was removed from the cluster: it has to stop.
    #[error("this member has been removed from the cluster")]
    Removed,
    /// The peer failed.
    #[error("refused by the peer: {0}")]
    Refused(String),
}

/// Which connection a stream of appends uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Heartbeats: never behind bulk.
    Control,
    /// Log entries.
    Bulk,
}

/// The stream of answers to a stream of requests.
pub type Answers<T> = BoxStream<'static, Result<T, PeerError>>;
/// A call under way.
pub type Call<T> = BoxFuture<'static, Result<T, PeerError>>;

/// What is known about the connection to a peer.
#[derive(Clone, Debug, Default)]
pub struct PeerStats {
    /// The peer answers since then; `None` while it does not.
    pub active_since: Option<Instant>,
    /// When it called this member last, for whatever; `None` when it never has, or the transport does not tell.
    pub called_at: Option<Instant>,
    /// Bytes sent to it, as far as counted: messages, without framing.
    pub sent_bytes: u64,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// Failed calls and broken streams.
    pub failures: u64,
    /// Streams of the peer's that broke.
    pub received_failures: u64,
    /// Times that it ceased to answer.
    pub disconnects: u64,
    /// Round trip of the last heartbeat.
    pub round_trip: Option<Duration>,
}

/// The way to the other members. Calls must not block; nothing is retried.
pub trait PeerTransport: Send + Sync + 'static {
    /// Tells the present addresses. Called at start and at every change, also for members that are being added.
    fn update_peers(&self, membership: &Membership);
    /// Opens a stream of appends.
    fn append(
        &self,
        to: MemberId,
        lane: Lane,
        requests: BoxStream<'static, pb::AppendRequest>,
    ) -> Call<Answers<pb::AppendResponse>>;
    /// Asks for a vote or a pre-vote.
    fn vote(
        &self,
        to: MemberId,
        request: pb::VoteRequest,
        timeout: Duration,
    ) -> Call<pb::VoteResponse>;
    /// Tells a member to campaign.
    fn transfer_leader(
        &self,
        to: MemberId,
        request: pb::TransferLeaderRequest,
        timeout: Duration,
    ) -> Call<pb::TransferLeaderResponse>;
    /// Sends a snapshot.
    fn install_snapshot(
        &self,
        to: MemberId,
        chunks: BoxStream<'static, pb::SnapshotChunk>,
    ) -> Call<pb::SnapshotResponse>;
    /// Opens the stream of proposals and reads to the leader.
    fn relay(
        &self,
        to: MemberId,
        requests: BoxStream<'static, pb::RelayRequest>,
    ) -> Call<Answers<pb::RelayResponse>>;
    /// Forwards a request.
    fn forward(
        &self,
        to: MemberId,
        request: pb::ForwardRequest,
        timeout: Duration,
    ) -> Call<pb::ForwardResponse>;
    /// What is known about a peer.
    fn stats(&self, peer: MemberId) -> PeerStats;
    /// Becomes true when a peer has said, outside of any call of raft's, that this member has been removed. A learner
    /// never calls anybody by itself, and nobody calls it any more.
    fn told_removed(&self) -> watch::Receiver<bool>;
}

/// The receiving end, implemented by raft itself; a transport calls it for what arrives.
pub trait PeerHandler: Send + Sync + 'static {
    /// Is the caller welcome? Checked once for each call and stream.
    ///
    /// # Errors
    /// [`PeerError::Removed`] for a removed member.
    fn admit(&self, from: MemberId) -> Result<(), PeerError>;
    /// A stream of appends.
    fn append(
        &self,
        from: MemberId,
        requests: BoxStream<'static, pb::AppendRequest>,
    ) -> Answers<pb::AppendResponse>;
    /// A request for a vote.
    fn vote(&self, request: pb::VoteRequest) -> Call<pb::VoteResponse>;
    /// The leader wants this member to lead.
    fn transfer_leader(
        &self,
        request: pb::TransferLeaderRequest,
    ) -> Call<pb::TransferLeaderResponse>;
    /// A snapshot arrives. An error in the stream aborts it.
    fn install_snapshot(
        &self,
        chunks: BoxStream<'static, Result<pb::SnapshotChunk, PeerError>>,
    ) -> Call<pb::SnapshotResponse>;
    /// A follower's proposals and reads.
    fn relay(
        &self,
        from: MemberId,
        requests: BoxStream<'static, pb::RelayRequest>,
    ) -> Answers<pb::RelayResponse>;
    /// A forwarded request.
    fn forward(&self, from: MemberId, request: pb::ForwardRequest) -> Call<pb::ForwardResponse>;
}

/// What the node answers to forwarded requests.
pub trait ForwardHandler: Send + Sync + 'static {
    /// Handles one request. `Err` carries the handler's own encoding of an error.
    fn handle(
        &self,
        from: MemberId,
        kind: u32,
        body: bytes::Bytes,
    ) -> BoxFuture<'static, Result<bytes::Bytes, bytes::Bytes>>;
}

/// A shared transport.
pub type SharedTransport = Arc<dyn PeerTransport>;
