//! Quorate's server: a replicated key-value store that speaks etcd v3.7.1.
//!
//! The rooms and the direction of their imports are drawn in `docs/ARCHITECTURE.md`; a test in `xtask` holds them.

pub mod storage;
