//! Taking a backup, a file per step: `survey → select → stream → verify → prove → seal → upload`; `pipeline` runs them.

mod pipeline;
mod prove;
mod seal;
mod select;
mod stream;
mod survey;
mod upload;
mod verify;

pub use pipeline::{TakeOptions, store_snapshot, take};
pub use seal::Provenance;
pub use select::{Selection, rank};
pub use stream::{Streamed, stream};
pub use survey::{MemberState, Survey};
pub use upload::{ReadBack, check_stored, fetch};
pub(crate) use verify::file_error;
pub use verify::{SnapshotContent, inspect, inspect_database, verify_against};
