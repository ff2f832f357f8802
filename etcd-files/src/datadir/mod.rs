//! Whole data directories of etcd: made fresh, made from a snapshot, read and maintained after their server has
//! stopped.
//!
//! Layout: `member/wal` (the log), `member/snap/db` (the database), `member/snap/*.snap`. A running server's
//! directory is never written to from here, and nothing here decides when a member starts.

mod bootstrap;
mod claim;
mod defragment;
mod initial_cluster;
mod layout;
mod membership;
mod migrate;
mod release;
mod restore;
mod survivor;
#[cfg(test)]
mod tests;

pub use bootstrap::create_log;
pub use claim::{Access, Claim};
pub use defragment::{Defragmented, defragment};
pub use initial_cluster::{InitialCluster, InitialUrls, check_local_member, parse_urls};
pub use layout::{DataDir, resolve};
pub use membership::Membership;
pub use migrate::{Migrated, Schema, migrate};
pub use release::Release;
pub use restore::{RestoreOptions, Restored, UNFINISHED, restore, restore_for};
pub use survivor::{Survivor, TailPolicy};
