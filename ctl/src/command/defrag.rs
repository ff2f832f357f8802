//! `defrag`: reclaim file space, one member after the other.

use crate::connect::Session;
use crate::failure::{Failure, Outcome, error_text, exit};
use crate::go::format_duration;
use crate::terminal::{complain, print_line};
use std::ffi::OsString;
use std::time::Instant;

/// Reclaims file space of the members at --endpoints, one after the other
///
/// A member serves nothing while it is defragmented.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(hide = true)]
    rest: Vec<OsString>,
    /// Defragment all members of the cluster
    #[arg(long)]
    cluster: bool,
}

/// Defragments; goes on after a failure and reports it by the exit code.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let mut outcome = Ok(());
    for endpoint in super::endpoint::endpoints(args.cluster, session).await? {
        let start = Instant::now();
        let result = async { session.client.at(&endpoint)?.maintenance().defragment().await };
        let result = result.await;
        let took = format_duration(start.elapsed());
        match result {
            Ok(_) => {
                print_line(format!("Finished defragmenting etcd member[{endpoint}]. took {took}"));
            }
            Err(error) => {
                let text = error_text(&error);
                complain(format!(
                    "Failed to defragment etcd member[{endpoint}]. took {took}. ({text})"
                ));
                outcome = Err(Failure::silent(exit::ERROR));
            }
        }
    }
    outcome
}
