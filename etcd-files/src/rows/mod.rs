//! What etcd keeps in its buckets: names, keys and values as bytes, and back.
//!
//! Source: `reference/file-formats.md` section 6. Messages that are plain protobuf (`KeyValue`, `Lease`, `User`, …) are in
//! `quorate_proto`; here is what protobuf does not say. Nothing here reads or writes a file.

pub mod bucket;
mod member;
pub mod meta;
mod revision;
#[cfg(test)]
mod tests;

pub use member::{Member, member_key, parse_member_key};
pub use revision::{Revision, RevisionKey, user_key};

/// Key of a lease in bucket `lease`.
pub fn lease_key(id: i64) -> [u8; 8] {
    id.to_be_bytes()
}
