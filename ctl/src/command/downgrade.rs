//! `downgrade`: validate, enable, cancel.

use super::key::text;
use crate::connect::Session;
use crate::failure::{Failure, Outcome};
use crate::print::Answer;
use quorate_client::proto::etcdserverpb::downgrade_request::DowngradeAction;
use std::ffi::OsString;

/// Prepares the cluster for members of the version before
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Checks whether the cluster could go to a version (X.Y.Z)
    Validate {
        #[arg(value_name = "VERSION")]
        version: Vec<OsString>,
    },
    /// Starts the way to a version (X.Y.Z)
    Enable {
        #[arg(value_name = "VERSION")]
        version: Vec<OsString>,
    },
    /// Cancels a downgrade under way
    Cancel {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let (action, verb, version) = match args.action {
        Action::Validate { version } => (DowngradeAction::Validate, "validate", target(&version)?),
        Action::Enable { version } => (DowngradeAction::Enable, "enable", target(&version)?),
        Action::Cancel { .. } => (DowngradeAction::Cancel, "cancel", String::new()),
    };
    let response = session.client.maintenance().downgrade(action, &version).await?;
    session.printer.print(&Answer::Downgrade { verb, response })
}

fn target(version: &[OsString]) -> Outcome<String> {
    match version {
        [] => Err(Failure::bad_args("TARGET_VERSION not provided")),
        [version] => Ok(text(version)),
        _ => Err(Failure::bad_args("too many arguments")),
    }
}
