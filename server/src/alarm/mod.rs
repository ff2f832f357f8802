//! Alarms: sticky faults of a member that the whole cluster heeds until an operator disarms them. Who raises one and
//! what it forbids is not decided here.

mod store;

pub use store::{AlarmStore, row_key};
