//! `auth`: enable, disable, status.

use crate::connect::Session;
use crate::failure::{Failure, Outcome};
use crate::print::Answer;
use quorate_client::EtcdError;
use std::ffi::OsString;

/// Turns authentication on and off
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Turns authentication on. User root must exist
    Enable {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Turns authentication off
    Disable {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Shows whether authentication is on
    Status {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let auth = session.client.auth();
    match args.action {
        Action::Enable { rest } => {
            no_arguments(&rest, "enable")?;
            enable(session).await?;
            done(true, session)
        }
        Action::Disable { rest } => {
            no_arguments(&rest, "disable")?;
            auth.disable().await?;
            done(false, session)
        }
        Action::Status { rest } => {
            no_arguments(&rest, "status")?;
            session.printer.print(&Answer::AuthStatus(auth.status().await?))
        }
    }
}

fn done(is_enabled: bool, session: &Session) -> Outcome {
    let word = if is_enabled { "Enabled" } else { "Disabled" };
    session.printer.print(&Answer::Plain {
        lines: vec![format!("Authentication {word}")],
        fields: vec![("enabled", is_enabled.into())],
    })
}

/// Enables; if only the role root is missing, it is made and granted first.
async fn enable(session: &Session) -> Outcome {
    let auth = session.client.auth();
    loop {
        match auth.enable().await {
            Ok(_) => return Ok(()),
            Err(error) if error.etcd() == Some(EtcdError::RootUserDoesNotHaveRootRole) => {
                match auth.role_add("root").await {
                    Ok(_) => {}
                    Err(error) if error.etcd() == Some(EtcdError::RoleNameAlreadyExists) => {}
                    Err(error) => return Err(error.into()),
                }
                auth.user_grant_role("root", "root").await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn no_arguments(rest: &[OsString], verb: &str) -> Outcome {
    if rest.is_empty() {
        return Ok(());
    }
    Err(Failure::bad_args(format!("auth {verb} command does not accept any arguments")))
}
