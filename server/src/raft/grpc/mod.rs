//! The peer transport in production: gRPC over HTTP/2 on the peer URLs.
//!
//! Two connections to each peer: one for heartbeats, votes and small calls, one for log entries, proposals and
//! snapshots, so that the former never wait behind the latter. How a URL becomes a connection (plain, TLS) is the
//! [`Dialer`]'s part.

mod client;
mod dialer;
mod peer;
mod server;

pub use client::GrpcTransport;
pub use dialer::{ChannelSettings, Dialer};
pub use server::{PeerService, peer_service};

use crate::types::MemberId;

/// Metadata key: the cluster of whoever speaks.
const CLUSTER: &str = "quorate-cluster-id";
/// Metadata key: the member that calls.
const CALLER: &str = "quorate-member-id";
/// Metadata key: the member that is called.
const TARGET: &str = "quorate-target-id";
/// Metadata key of a refusal: the caller has been removed from the cluster.
const REMOVED: &str = "quorate-removed";
/// Largest message. A single entry may hold the largest request that an operator allows.
const MESSAGE_MAX: usize = 512 << 20;
/// A forwarded request of this kind is answered at the door: it only asks whether somebody is there.
const KIND_PING: u32 = 0;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    pub member_id: MemberId,
}
