//! The log on disk and in memory: etcd's write-ahead log underneath, openraft's storage traits on top.
//!
//! Reading order: [`codec`] (an entry in both worlds), [`view`] (what is in memory), [`writer`] (who writes when),
//! [`pen`] (how a group is written), [`open`] (start), [`store`] (openraft's traits). Replication and commitment are decided elsewhere.

pub(super) mod codec;
mod open;
mod pen;
mod store;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub(super) use open::{LogIdentity, LogSurroundings, Opened, open};
pub(super) use store::LogStore;
