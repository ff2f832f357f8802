//! `txn`: one transaction from lines on stdin: compares, an empty line, requests for success, an empty line, requests
//! for failure, an empty line. The grammar is `txn_input`'s.

use super::txn_input::{parse_compare, parse_request};
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::Answer;
use crate::terminal::{print_line, read_line};
use quorate_client::proto::etcdserverpb as pb;
use std::ffi::OsString;

/// Reads a transaction from stdin and runs it
///
/// Three blocks of lines, each ended by an empty line: compares, requests if all hold, requests if not.
///
///     mod("key1") > "0"
///
///     put key1 "new value"
///
///     put key1 "first value"
///     put key2 "another key"
///
/// A compare is TARGET("KEY") OPERATOR "VALUE" with target value, version, create, mod or lease and operator =, !=, <
/// or >. A request is a get, put or del line.
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[arg(hide = true)]
    rest: Vec<OsString>,
    /// Say what is expected next
    #[arg(short, long)]
    interactive: bool,
}

/// Reads, runs, prints.
pub async fn run(args: Args, session: &Session) -> Outcome {
    if !args.rest.is_empty() {
        return Err(Failure::bad_args("txn command does not accept argument"));
    }
    let prompt = |text: &str| {
        if args.interactive {
            print_line(text);
        }
    };
    prompt("compares:");
    let compare = read_block(parse_compare)?;
    prompt("success requests (get, put, del):");
    let success = read_block(|line| parse_request(line, session.program))?;
    prompt("failure requests (get, put, del):");
    let failure = read_block(|line| parse_request(line, session.program))?;
    let request = pb::TxnRequest { compare, success, failure };
    let response = session.client.kv().txn(request).await?;
    session.printer.print(&Answer::Txn(response))
}

/// Reads lines up to an empty one.
fn read_block<T>(parse: impl Fn(&str) -> Outcome<T>) -> Outcome<Vec<T>> {
    let mut items = Vec::new();
    loop {
        let line = read_line().ok_or_else(|| Failure::new(exit::INVALID_INPUT, "EOF"))?;
        // etcdctl takes a line with nothing but its end as the end of the block.
        if line == "\n" {
            return Ok(items);
        }
        items.push(parse(line.strip_suffix('\n').unwrap_or(&line))?);
    }
}
