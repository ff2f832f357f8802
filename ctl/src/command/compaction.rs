//! `compaction`: forget history.

use super::key::text;
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::Answer;
use quorate_client::proto::etcdserverpb::CompactionRequest;
use std::ffi::OsString;

/// Forgets the history of all keys up to a revision
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The revision; what is current at it stays readable
    #[arg(value_name = "REVISION")]
    revision: Vec<OsString>,
    /// Wait until the history is gone from disk
    #[arg(long)]
    physical: bool,
}

/// Compacts.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let [revision] = args.revision.as_slice() else {
        return Err(Failure::bad_args("compaction command needs 1 argument"));
    };
    let revision = crate::go::parse_int(&text(revision), 10)
        .map_err(|cause| Failure::new(exit::ERROR, cause))?;
    let request = CompactionRequest { revision, physical: args.physical };
    // A physical compaction takes as long as there is history.
    let client =
        if args.physical { session.client.with_timeout(None) } else { session.client.clone() };
    client.kv().compact(request).await?;
    session.printer.print(&Answer::Plain {
        lines: vec![format!("compacted revision {revision}")],
        fields: vec![("compactedRevision", revision.into()), ("physical", args.physical.into())],
    })
}
