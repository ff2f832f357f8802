//! `alarm`: list and disarm.

use crate::connect::Session;
use crate::failure::{Failure, Outcome};
use crate::print::Answer;
use quorate_client::proto::etcdserverpb::AlarmResponse;
use std::ffi::OsString;

/// Lists and clears alarms (NOSPACE, CORRUPT)
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Clears all alarms. Remove their cause first: they come back
    Disarm {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Lists all alarms
    List {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let maintenance = session.client.maintenance();
    match args.action {
        Action::List { rest } => {
            no_arguments(&rest, "list")?;
            let response = maintenance.alarm_list().await?;
            session.printer.print(&Answer::Alarm(response))
        }
        Action::Disarm { rest } => {
            no_arguments(&rest, "disarm")?;
            // The answer collects what was cleared and has no header, as in Go's client.
            let mut cleared = AlarmResponse::default();
            for alarm in maintenance.alarm_list().await?.alarms {
                cleared.alarms.extend(maintenance.alarm_disarm(alarm).await?.alarms);
            }
            session.printer.print(&Answer::Alarm(cleared))
        }
    }
}

fn no_arguments(rest: &[OsString], verb: &str) -> Outcome {
    if rest.is_empty() {
        return Ok(());
    }
    Err(Failure::bad_args(format!("alarm {verb} command accepts no arguments")))
}
