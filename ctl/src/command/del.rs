//! `del`: delete a key, an interval, a prefix.

use super::key::{Reach, bytes};
use crate::connect::Session;
use crate::failure::{Failure, Outcome};
use crate::print::Answer;
use quorate_client::proto::etcdserverpb as pb;
use std::ffi::OsString;

/// Deletes a key, or the keys from KEY up to (not including) RANGE_END
#[derive(clap::Args, Debug)]
pub struct Args {
    /// KEY [RANGE_END]
    #[arg(value_name = "KEY [RANGE_END]")]
    keys: Vec<OsString>,
    /// All keys that start with KEY
    #[arg(long)]
    prefix: bool,
    /// Print the deleted pairs
    #[arg(long)]
    prev_kv: bool,
    /// All keys from KEY on
    #[arg(long)]
    from_key: bool,
    /// Says that RANGE_END is meant, so that nobody is warned
    #[arg(long)]
    range: bool,
}

/// Deletes and prints.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let response = session.client.kv().delete(request(args)?).await?;
    session.printer.print(&Answer::Del(response))
}

/// The request that the arguments describe; also a line of a txn.
pub fn request(args: Args) -> Outcome<pb::DeleteRangeRequest> {
    let mut keys = args.keys.into_iter();
    let (Some(key), range_end, None) = (keys.next(), keys.next(), keys.next()) else {
        return Err(Failure::bad_args(
            "del command needs one argument as key and an optional argument as range_end",
        ));
    };
    let reach = Reach::from_flags(args.prefix, args.from_key)?;
    let (key, range_end) = reach.interval(bytes(key), range_end.map(bytes))?;
    Ok(pb::DeleteRangeRequest { key, range_end, prev_kv: args.prev_kv })
}
