//! `move-leader`: hand leadership to another member.

use super::key::text;
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::Answer;
use std::ffi::OsString;

/// Hands leadership to another member. The leader must be among --endpoints
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_name = "MEMBER")]
    target: Vec<OsString>,
}

/// Finds the leader among the endpoints and asks it.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let [target] = args.target.as_slice() else {
        return Err(Failure::bad_args("move-leader command needs 1 argument"));
    };
    let to = crate::go::parse_uint(&text(target), 16).map_err(Failure::bad_args)?;
    for endpoint in session.endpoints() {
        let client = session.client.at(&endpoint)?;
        let status = client.maintenance().status().await?;
        let member = status.header.unwrap_or_default().member_id;
        if status.leader == member {
            let response = client.maintenance().move_leader(to).await?;
            let from = member;
            return session.printer.print(&Answer::MoveLeader { from, to, response });
        }
    }
    let endpoints = session.endpoints().join(" ");
    Err(Failure::new(exit::BAD_ARGS, format!("no leader endpoint given at [{endpoints}]")))
}
