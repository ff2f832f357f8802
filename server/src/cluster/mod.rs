//! Who belongs to the cluster, who never may again, and which version the cluster speaks.
//!
//! The room holds what `apply` wrote and judges whether a change is allowed; it neither proposes nor orders anything.

mod change;
mod member;
mod state;

pub use change::{ChangeCheck, Link, check_change};
pub use member::{
    ConfChangeContext, Member, is_started, member_row_key, peer_urls_are_valid, to_wire,
};
pub use state::{ClusterState, DowngradeInfo};
