//! `lease`: grant, revoke, timetolive, list, keep-alive.

use super::key::{lease_id, text};
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::{Answer, Format};
use crate::terminal::print_line;
use std::ffi::OsString;

/// Grants, renews, lists and revokes leases
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Grants a lease of TTL seconds
    Grant {
        #[arg(value_name = "TTL")]
        ttl: Vec<OsString>,
    },
    /// Revokes a lease and deletes its keys
    Revoke {
        #[arg(value_name = "LEASE")]
        id: Vec<OsString>,
    },
    /// Shows how long a lease has to live
    Timetolive {
        #[arg(value_name = "LEASE")]
        id: Vec<OsString>,
        /// Show the keys attached to it too
        #[arg(long)]
        keys: bool,
    },
    /// Lists all leases
    List {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Renews a lease until interrupted
    KeepAlive {
        #[arg(value_name = "LEASE")]
        id: Vec<OsString>,
        /// Renew once and end
        #[arg(long)]
        once: bool,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    match args.action {
        Action::Grant { ttl } => grant(&ttl, session).await,
        Action::Revoke { id } => revoke(&id, session).await,
        Action::Timetolive { id, keys } => time_to_live(&id, keys, session).await,
        Action::List { .. } => {
            let answer = session.client.lease().list().await;
            let answer = answer.map_err(bad_connection)?;
            session.printer.print(&Answer::LeaseList(answer))
        }
        Action::KeepAlive { id, once } => keep_alive(&id, once, session).await,
    }
}

fn bad_connection(error: quorate_client::ClientError) -> Failure {
    Failure::from(error).with_code(exit::BAD_CONNECTION)
}

/// The only argument, as a lease id.
fn only_id(arguments: &[OsString], missing: &str) -> Outcome<i64> {
    let [id] = arguments else { return Err(Failure::bad_args(missing)) };
    lease_id(&text(id), "lease ID arg")
}

async fn grant(ttl: &[OsString], session: &Session) -> Outcome {
    let [ttl] = ttl else {
        return Err(Failure::bad_args("lease grant command needs TTL argument"));
    };
    let ttl = crate::go::parse_int(&text(ttl), 10)
        .map_err(|cause| Failure::bad_args(format!("bad TTL ({cause})")))?;
    let granted = session.client.lease().grant(ttl, 0).await;
    let response = granted.map_err(|e| Failure::from(e).within("failed to grant lease (", ")"))?;
    session.printer.print(&Answer::LeaseGrant(response))
}

async fn revoke(id: &[OsString], session: &Session) -> Outcome {
    let id = only_id(id, "lease revoke command needs 1 argument")?;
    let revoked = session.client.lease().revoke(id).await;
    let response = revoked.map_err(|e| Failure::from(e).within("failed to revoke lease (", ")"))?;
    session.printer.print(&Answer::LeaseRevoke { id, response })
}

async fn time_to_live(id: &[OsString], keys: bool, session: &Session) -> Outcome {
    let id = only_id(id, "lease timetolive command needs lease ID as argument")?;
    let answer = session.client.lease().time_to_live(id, keys).await;
    let response = answer.map_err(bad_connection)?;
    session.printer.print(&Answer::LeaseTimeToLive { keys, response })
}

async fn keep_alive(id: &[OsString], once: bool, session: &Session) -> Outcome {
    let id = only_id(id, "lease keep-alive command needs lease ID as argument")?;
    let lease = session.client.lease();
    if once {
        let response = lease.keep_alive_once(id).await.map_err(bad_connection)?;
        return session.printer.print(&Answer::LeaseKeepAlive(response));
    }
    let mut keeper = lease.keep_alive(id);
    while let Some(response) = keeper.next().await.map_err(bad_connection)? {
        session.printer.print(&Answer::LeaseKeepAlive(response))?;
    }
    if session.printer.format == Format::Simple {
        print_line(format!("lease {id:016x} expired or revoked."));
    }
    Ok(())
}
