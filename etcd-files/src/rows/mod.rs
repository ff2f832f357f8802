//! What etcd keeps in its buckets: names, keys and values as bytes, and back.
//!
//! Source: `reference/file-formats.md` section 6. Messages that are plain protobuf (`KeyValue`, `Lease`, `User`, …) are in
//! `quorate_proto`; here is what protobuf does not say. Nothing here reads or writes a file.

pub mod bucket;
mod judge;
mod lease;
mod member;
pub mod meta;
mod revision;
#[cfg(test)]
mod tests;

pub use judge::check;
pub use lease::{decode_lease_key, lease_key};
pub use member::{Member, member_key, parse_member_key};
pub use revision::{Revision, RevisionKey, user_key};
