//! Writers that remember what was acknowledged to them, and the questions by which it is asked for afterwards. What
//! `demo` and `soak` share.

mod ledger;
mod load;
pub mod reads;

pub use ledger::{Ledger, nothing_lost};
pub use load::{Load, PREFIX, Pace};
