//! The opening screen: headline, a row per member, the selected member's rest, findings.

mod cells;
mod columns;
mod findings;
mod headline;
mod page;
mod strip;
mod table;
mod trend;

pub use page::{draw, draw_plain};
