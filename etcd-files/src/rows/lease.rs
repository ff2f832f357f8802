//! Keys of bucket `lease`; the values are `leasepb.Lease`.

/// Key of a lease: its id, be64.
pub fn lease_key(id: i64) -> [u8; 8] {
    id.to_be_bytes()
}

/// Reads such a key.
pub fn decode_lease_key(key: &[u8]) -> Option<i64> {
    key.try_into().ok().map(i64::from_be_bytes)
}
