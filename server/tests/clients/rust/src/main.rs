//! Uses a cluster as users of the crate etcd-client do, and asserts by itself what it gets. It prints one line per check,
//! without anything that differs from run to run, so that two runs against two servers can be compared. It knows
//! nothing of Quorate.

mod auth;
mod keys;
mod kill;
mod members;
mod suite;
mod turns;
mod watches;

use std::process::ExitCode;

use suite::{Arguments, Suite};

#[tokio::main]
async fn main() -> ExitCode {
    let suite = Suite::new(Arguments::read()).await;
    keys::run(&suite).await;
    watches::run(&suite).await;
    turns::run(&suite).await;
    members::run(&suite).await;
    auth::run(&suite).await;
    // Last: the library tells of a connection that a kill has broken to whichever call comes next.
    kill::run(&suite).await;
    if suite.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
