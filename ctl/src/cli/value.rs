//! Values of flags, read as Go reads them; the error texts are Go's.

use std::time::Duration;

/// A signed decimal number.
pub fn int(text: &str) -> Result<i64, String> {
    crate::go::parse_int(text, 10)
}

/// An unsigned decimal number.
pub fn unsigned(text: &str) -> Result<u64, String> {
    crate::go::parse_uint(text, 10)
}

/// A duration such as `5s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    crate::go::parse_duration(text)
}
