//! The guided recovery: a cluster that has lost its quorum for good is brought back from one survivor's data
//! directory, or from a backup.
//!
//! ```text
//! inventory   what is there: the survivor's database and log, or a backup; what would be lost
//! request     what is asked for; the plan is a pure function of (request, inventory)
//! plan        steps in order, each with the etcdctl lines it equals and how to undo it
//! journal     what was done, on disk; a recovery that was cut short goes on where it stopped
//! execute     do, then check, step by step
//! steps       a file per kind of step
//! ```
//! The survivor's directory is only ever read. Nothing runs before the plan was shown and confirmed.

mod execute;
mod inventory;
mod journal;
mod plan;
mod quorate_dir;
mod request;
mod steps;
mod workspace;

pub use execute::{execute, undo};
pub use inventory::{BackupFacts, Inventory, ServerKind, SurvivorFacts, TailEntry, read_survivor};
pub use journal::{Journal, Progress};
pub use plan::{Plan, PlannedStep, make_plan};
pub use request::{MemberTarget, RecoverRequest, SourceRequest, Tail};
pub use workspace::{Access, JOURNAL, Workspace};
