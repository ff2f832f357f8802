//! etcd's on-disk formats, as pure functions over bytes and files: no network, no async.
//!
//! What lives here: the bbolt file, MVCC row encodings, snapshot hashes, the write-ahead log, `.snap` files and
//! whole data directories. What does not: the server's state, and any decision about when to write.

pub mod bbolt;
pub mod datadir;
pub mod disk;
mod error;
pub mod hash;
pub mod ids;
pub mod lossy_disk;
mod request;
pub mod rescue;
pub mod rows;
pub mod snap;
pub mod snapfile;
pub mod wal;

pub use error::{Error, Result};
pub use request::decode_request;
