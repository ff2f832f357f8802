//! `move-leader`: hand leadership to another member.

use super::guard::{self, Guard};
use super::key::text;
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::Answer;
use quorate_client::model::MemberId;
use quorate_client::plan::{self, Made};
use std::ffi::OsString;

/// Hands leadership to another member. The leader must be among --endpoints
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_name = "MEMBER")]
    target: Vec<OsString>,
    #[command(flatten)]
    guard: Guard,
}

/// Finds the leader among the endpoints and asks it.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let [target] = args.target.as_slice() else {
        return Err(Failure::bad_args("move-leader command needs 1 argument"));
    };
    let to = crate::go::parse_uint(&text(target), 16).map_err(Failure::bad_args)?;
    if args.guard.is_wanted() {
        return guarded(args.guard, to, session).await;
    }
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

/// Finds the leader among all members, whatever the endpoints.
async fn guarded(guard: Guard, to: u64, session: &Session) -> Outcome {
    let mut from = 0;
    let plan = |cluster: &quorate_client::model::ClusterSnapshot| {
        from = cluster.leader_member().map_or(0, |leader| leader.id.0);
        plan::move_leader(cluster, MemberId(to))
    };
    let Some(confirmed) = guard.confirm(session, plan).await? else { return Ok(()) };
    let mut answer = None;
    let run = confirmed.run(&session.client, |_, made| answer = Some(made));
    run.await.map_err(guard::failure)?;
    match answer {
        Some(Made::LeaderMoved(response)) => {
            session.printer.print(&Answer::MoveLeader { from, to, response })
        }
        _ => Ok(()),
    }
}
