//! The log: lines as etcd's users know them, in the places that the operator names. Belongs to the program's entry; the
//! rooms only speak to `tracing`.

mod format;
mod open;
mod rotating;
mod sinks;

pub use open::{LogError, open};
