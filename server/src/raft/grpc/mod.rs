//! The peer transport in production: gRPC over HTTP/2 on the peer URLs.
//!
//! Two connections to each peer: one for heartbeats, votes and small calls, one for log entries, proposals and
//! snapshots, so that the former never wait behind the latter. How a URL becomes a connection (plain, TLS) is the
//! [`Dialer`]'s part.

mod client;
mod dialer;
mod peer;
mod server;
mod wire;

pub use client::{GrpcTransport, HearRoundTrip};
pub use dialer::{ChannelSettings, Dialer};
pub use server::{PeerService, peer_service};
pub use wire::Identity;
