//! Leases: who holds which keys for how long. Knows no revisions and no log; `apply` brings keys and leases together.

mod lessor;
mod rows;

pub use lessor::{LeaseInfo, Lessor, Renewal};
pub use rows::{LEASE_TTL_SECONDS_MAX, decode_row, encode_row, row_key};
