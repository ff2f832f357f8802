//! Background loops of a member: each reads the state and proposes; none changes anything by itself.

mod auto_compaction;
mod compactor;
mod leases;
mod publish;
mod version;

pub use auto_compaction::{AutoCompaction, RetentionError};
pub use compactor::{COMPACTION_QUEUE, CompactorOptions, spawn_compactor};
pub use leases::LeaseKeeper;
pub use publish::publish_attributes;
pub use version::keep_cluster_version;
