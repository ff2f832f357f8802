//! The cluster model: one picture of a cluster (Quorate, or etcd 3.4 to 3.7) made from what every member says.
//!
//! ```text
//! probe ──► observation ──► memory ──► assemble (+ join) ──► ClusterSnapshot ──► findings
//! (network)  (wire → words)  (per endpoint)      pure              plain data         pure
//! ```
//! [`Collector`] turns the crank. Nothing here knows a terminal; nothing here changes a cluster.

mod assemble;
#[cfg(test)]
mod assemble_tests;
mod collector;
pub mod findings;
mod histogram;
mod history;
mod id;
mod join;
mod memory;
mod metrics;
mod observation;
mod probe;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
mod snapshot;
mod value;
mod window;

pub use collector::{Collector, CollectorOptions};
pub use findings::{Finding, Report, Severity, Thresholds};
pub use history::LEADER_CHANGE_WINDOW;
pub use id::{ClusterId, MemberId};
pub use snapshot::{
    Alarm, AlarmKind, ClusterSnapshot, Health, LeaderChanges, MemberSnapshot, Quorum, Role,
    StrangerEndpoint, StrangerState,
};
pub use value::Value;

use histogram::{Histogram, HistogramWindow};
use metrics::Scrape;
use window::RateWindow;
