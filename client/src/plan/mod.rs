//! Guarded plans: what a change to a cluster would check, do and mean, as data, before anything is done.
//!
//! ```text
//! ClusterSnapshot ──► defragment | members ──► Plan ──(confirm: no check blocks)──► ConfirmedPlan ──run──► cluster
//! ```
//! The tools show a [`Plan`]; only a [`ConfirmedPlan`], which cannot be made in any other way, changes a cluster. Rules:
//! `reference/tui.md` section 8. No terminal here, and nothing is decided for the operator.

mod defragment;
mod members;
mod run;
mod step;

pub use defragment::defragment;
pub use members::{
    add as member_add, move_leader, promote as member_promote, remove as member_remove,
};
pub use run::{ConfirmedPlan, Made, PlanError};
pub use step::{Action, Check, Plan, Step, Verdict};
