//! `get`: read a key, an interval, a prefix.

use super::key::{Reach, bytes};
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::{Answer, Format};
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use std::ffi::OsString;

/// Reads a key, or the keys from KEY up to (not including) RANGE_END
#[derive(clap::Args, Debug)]
pub struct Args {
    /// KEY [RANGE_END]
    #[arg(value_name = "KEY [RANGE_END]")]
    keys: Vec<OsString>,
    /// Read through the leader (l), or what the asked member has (s)
    #[arg(long, default_value = "l")]
    consistency: String,
    /// ASCEND or DESCEND
    #[arg(long, default_value = "", hide_default_value = true)]
    order: String,
    /// KEY, VERSION, CREATE, MODIFY or VALUE
    #[arg(long, default_value = "", hide_default_value = true)]
    sort_by: String,
    /// Most keys to return; 0 for all
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    limit: i64,
    /// All keys that start with KEY
    #[arg(long)]
    prefix: bool,
    /// All keys from KEY on
    #[arg(long)]
    from_key: bool,
    /// Read at this revision; 0 for now
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    rev: i64,
    /// Leave the values out
    #[arg(long)]
    keys_only: bool,
    /// Only count (with --write-out=fields)
    #[arg(long)]
    count_only: bool,
    /// Print values without keys (with --write-out=simple)
    #[arg(long)]
    print_value_only: bool,
    /// Smallest create revision
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    min_create_rev: i64,
    /// Largest create revision
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    max_create_rev: i64,
    /// Smallest modification revision
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    min_mod_rev: i64,
    /// Largest modification revision
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    max_mod_rev: i64,
    /// Let the server send the answer in pieces (etcd 3.7 and later)
    #[arg(long)]
    stream: bool,
}

/// Reads and prints.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let (stream, value_only) = (args.stream, args.print_value_only);
    let (count_only, format) = (args.count_only, session.printer.format);
    let request = request(args)?;
    if count_only && format != Format::Fields {
        return Err(Failure::bad_args("--count-only is only for `--write-out=fields`"));
    }
    if value_only && format != Format::Simple {
        return Err(Failure::bad_args("print-value-only is only for `--write-out=simple`"));
    }
    let response = if stream && can_stream(&request) {
        collect(session, request).await?
    } else {
        session.client.kv().range(request).await?
    };
    session.printer.print(&Answer::Get { response, value_only })
}

/// The request that the arguments describe; also a line of a txn.
pub fn request(args: Args) -> Outcome<pb::RangeRequest> {
    let mut keys = args.keys.into_iter();
    // More words than two are passed over, as etcdctl does; `del` is stricter.
    let (Some(key), range_end) = (keys.next(), keys.next()) else {
        return Err(Failure::bad_args(
            "get command needs one argument as key and an optional argument as range_end",
        ));
    };
    let reach = Reach::from_flags(args.prefix, args.from_key)?;
    if args.keys_only && args.count_only {
        return Err(Failure::bad_args(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        ));
    }
    let serializable = is_serializable(&args.consistency)?;
    let (key, range_end) = reach.interval(bytes(key), range_end.map(bytes))?;
    let (sort_order, sort_target) = sorting(&args.order, &args.sort_by)?;
    Ok(pb::RangeRequest {
        key,
        range_end,
        limit: args.limit,
        revision: args.rev,
        sort_order: sort_order as i32,
        sort_target: sort_target as i32,
        serializable,
        keys_only: args.keys_only,
        count_only: args.count_only,
        min_mod_revision: args.min_mod_rev,
        max_mod_revision: args.max_mod_rev,
        min_create_revision: args.min_create_rev,
        max_create_revision: args.max_create_rev,
    })
}

fn is_serializable(consistency: &str) -> Outcome<bool> {
    match consistency {
        "s" => Ok(true),
        "l" => Ok(false),
        other => {
            let text = format!("unknown consistency flag {}", crate::go::quote(other.as_bytes()));
            Err(Failure::new(exit::BAD_FEATURE, text))
        }
    }
}

fn sorting(order: &str, target: &str) -> Outcome<(SortOrder, SortTarget)> {
    let bad = |what: &str, value: &str| {
        Failure::new(exit::BAD_FEATURE, format!("bad sort {what} {value}"))
    };
    let sort_order = match order.to_uppercase().as_str() {
        "ASCEND" => SortOrder::Ascend,
        "DESCEND" => SortOrder::Descend,
        "" => SortOrder::None,
        _ => return Err(bad("order", order)),
    };
    let sort_target = match target.to_uppercase().as_str() {
        "CREATE" => SortTarget::Create,
        "KEY" | "" => SortTarget::Key,
        "MODIFY" => SortTarget::Mod,
        "VALUE" => SortTarget::Value,
        "VERSION" => SortTarget::Version,
        _ => return Err(bad("target", target)),
    };
    // Keys come in ascending order anyway; saying so would only make the server sort.
    match (sort_order, sort_target) {
        (SortOrder::Ascend, SortTarget::Key) => Ok((SortOrder::None, SortTarget::Key)),
        both => Ok(both),
    }
}

/// What the server refuses to stream is read at once, so that `--stream` never changes an answer.
fn can_stream(request: &pb::RangeRequest) -> bool {
    request.sort_order == SortOrder::None as i32
        && request.sort_target == SortTarget::Key as i32
        && request.min_mod_revision == 0
        && request.max_mod_revision == 0
        && request.min_create_revision == 0
        && request.max_create_revision == 0
}

async fn collect(session: &Session, request: pb::RangeRequest) -> Outcome<pb::RangeResponse> {
    let mut stream = session.client.kv().range_stream(request).await?;
    let mut whole = pb::RangeResponse::default();
    while let Some(piece) = stream.next().await? {
        whole.kvs.extend(piece.kvs);
        whole.header = piece.header.or(whole.header);
        whole.more |= piece.more;
        whole.count = whole.count.max(piece.count);
    }
    Ok(whole)
}
