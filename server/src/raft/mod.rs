//! The replicated log: order, replicate, forward, wait, read index, snapshots. What entries mean is `apply`'s part.
//!
//! openraft is named only in this room. Reading order: [`Raft`] (the handle that `api`, `tasks` and `node` hold),
//! [`Machine`] (what raft needs of the state), [`PeerTransport`] (how members reach each other).

mod config;
mod error;
mod machine;
mod membership;
mod transport;

pub use config::RaftConfig;
pub use error::{Fatal, ForwardError, ProposeError, ReadIndexError, TimeoutCause, TransferError};
pub use machine::{
    Applied, AppliedState, Command, CommittedEntry, CommittedPayload, Machine, MembershipChange,
    SnapshotSource, WriteImage,
};
pub use membership::{Membership, Peer, StoredMembership};
pub use transport::{
    Answers, Call, ForwardHandler, Lane, PeerError, PeerHandler, PeerStats, PeerTransport,
    SharedTransport,
};
