//! Background loops of a member: each reads the state and proposes; none changes anything by itself.

mod auto_compaction;
mod compactor;
mod corruption;
mod leases;
mod promotion;
mod publish;
mod space;
mod version;

pub use auto_compaction::{AutoCompaction, RetentionError};
pub use compactor::{COMPACTION_QUEUE, CompactorOptions, spawn_compactor};
pub use corruption::{CorruptionCheck, HASH_QUESTION, Inconsistent, answer_hash_question};
pub use leases::LeaseKeeper;
pub use promotion::promote_learners;
pub use publish::publish_attributes;
pub use space::SpaceKeeper;
pub use version::keep_cluster_version;
