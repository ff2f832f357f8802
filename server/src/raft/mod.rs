//! The replicated log: order, replicate, forward, wait, read index, snapshots. What entries mean is `apply`'s part.
//!
//! openraft is named only in this room. Reading order: [`Raft`] (the handle that `api`, `tasks` and `node` hold),
//! [`Machine`] (what raft needs of the state), [`PeerTransport`] (how members reach each other).

mod acknowledged;
mod addresses;
mod apply;
mod config;
mod core;
mod error;
pub mod grpc;
mod handle;
mod inbound;
mod leader;
mod leading;
mod log;
mod machine;
mod membership;
mod network;
mod propose;
mod reach;
mod read;
mod relay;
mod start;
#[cfg(test)]
mod tests;
mod transport;
mod waiters;
mod wire;

pub use config::{NoObserver, Observer, RaftConfig};
pub use error::{Fatal, ForwardError, ProposeError, ReadIndexError, TimeoutCause, TransferError};
pub use handle::{Raft, RaftStatus};
pub use inbound::IsRemoved;
pub use leader::{LeaderInfo, Role};
pub use machine::{
    Applied, AppliedState, Command, CommittedEntry, CommittedPayload, Machine, MembershipChange,
    SnapshotSource, WriteImage,
};
pub use membership::{Membership, Peer, StoredMembership};
pub use start::Surroundings;
pub use transport::{
    Answers, Call, ForwardHandler, Lane, PeerError, PeerHandler, PeerStats, PeerTransport,
    SharedTransport,
};
