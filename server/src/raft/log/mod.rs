//! The log on disk and in memory: etcd's write-ahead log underneath, openraft's storage traits on top.
//!
//! Reading order: [`codec`] (an entry in both worlds), [`view`] (what is in memory), [`writer`] (the one thread that
//! writes), [`open`] (start), [`store`] (openraft's traits). Replication and commitment are decided elsewhere.

pub(super) mod codec;
mod open;
mod store;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub(super) use open::{LogIdentity, Opened, open};
pub(super) use store::LogStore;
