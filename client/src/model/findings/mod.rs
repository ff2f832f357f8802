//! What is wrong with a cluster, how it is known, and what to do next. Pure rules over a snapshot.
//!
//! A rule that lacks its figures says so instead of passing: "not known" is not "fine".

mod leader;
mod members;
mod quorum;
mod report;
mod space;
mod speed;
mod thresholds;
mod versions;

pub use report::{Finding, NotChecked, Report, Severity, evaluate};
pub use thresholds::Thresholds;

use report::{Verdict, all_unknown};

#[cfg(test)]
mod tests;
