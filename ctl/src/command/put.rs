//! `put`: write a key.

use super::key::{bytes, lease_id};
use crate::connect::Session;
use crate::failure::{Failure, Outcome};
use crate::print::Answer;
use crate::terminal::read_all;
use bytes::Bytes;
use quorate_client::proto::etcdserverpb as pb;
use std::ffi::OsString;

/// Writes a key
///
/// The value is read from stdin when it is not given. A key or value that starts with a dash goes after `--`:
/// `put -- KEY -5`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// KEY [VALUE]
    #[arg(value_name = "KEY [VALUE]")]
    pair: Vec<OsString>,
    /// Lease to attach the key to, in hexadecimal
    #[arg(long, default_value = "0")]
    lease: String,
    /// Print the pair as it was before
    #[arg(long)]
    prev_kv: bool,
    /// Keep the present value
    #[arg(long)]
    ignore_value: bool,
    /// Keep the present lease
    #[arg(long)]
    ignore_lease: bool,
}

/// Writes and prints.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let response = session.client.kv().put(request(args, read_all)?).await?;
    session.printer.print(&Answer::Put(response))
}

/// The request that the arguments describe; also a line of a txn. `read_value` is asked for a value not given.
pub fn request(
    args: Args,
    read_value: impl FnOnce() -> Outcome<Vec<u8>>,
) -> Outcome<pb::PutRequest> {
    let mut pair = args.pair.into_iter();
    let Some(key) = pair.next() else {
        return Err(Failure::bad_args(
            "put command needs 1 argument and input from stdin or 2 arguments",
        ));
    };
    let value = pair.next();
    let lease = lease_id(&args.lease, "lease ID")?;
    if args.ignore_value && value.is_some() {
        return Err(Failure::bad_args(
            "put command needs only 1 argument when 'ignore-value' is set",
        ));
    }
    let value = match value {
        _ if args.ignore_value => Bytes::new(),
        Some(value) => bytes(value),
        None => read_value()?.into(),
    };
    Ok(pb::PutRequest {
        key: bytes(key),
        value,
        lease,
        prev_kv: args.prev_kv,
        ignore_value: args.ignore_value,
        ignore_lease: args.ignore_lease,
    })
}
