//! The stored form of a lease, etcd's to the byte (`reference/file-formats.md`, section 6).

use bytes::Bytes;
use prost::Message;
use quorate_proto::leasepb;

/// Longest TTL that can be granted, in seconds (`etcd:server/lease/lessor.go`, MaxLeaseTTL).
pub const LEASE_TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// Row key of a lease.
pub fn row_key(id: i64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// Row value of a lease; `remaining_ttl` is 0 where none was checkpointed. Times in seconds.
pub fn encode_row(id: i64, granted_ttl: i64, remaining_ttl: i64) -> Bytes {
    leasepb::Lease { id, ttl: granted_ttl, remaining_ttl }.encode_to_vec().into()
}

/// Reads a row value back.
///
/// # Errors
/// The row is not a lease message.
pub fn decode_row(value: &[u8]) -> Result<leasepb::Lease, prost::DecodeError> {
    leasepb::Lease::decode(value)
}
