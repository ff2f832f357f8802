//! What both ends of a peer connection agree on: metadata keys, limits, and who speaks. Messages are `quorate_proto`'s.

use crate::types::MemberId;

/// Metadata key: the cluster of whoever speaks.
pub(super) const CLUSTER: &str = "quorate-cluster-id";
/// Metadata key: the member that calls.
pub(super) const CALLER: &str = "quorate-member-id";
/// Metadata key: the member that is called.
pub(super) const TARGET: &str = "quorate-target-id";
/// Metadata key of a refusal: the caller has been removed from the cluster.
pub(super) const REMOVED: &str = "quorate-removed";
/// Largest message. A single entry may hold the largest request that an operator allows.
pub(super) const MESSAGE_MAX: usize = 512 << 20;
/// A forwarded request of this kind is answered at the door: it only asks whether somebody is there.
pub(super) const KIND_PING: u32 = 0;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    pub member_id: MemberId,
}
