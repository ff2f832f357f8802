//! `defrag`: reclaim file space, one member after the other. With `--data-dir` it is etcdutl's, in `data_dir`.

use super::data_dir::DefragArgs;
use super::guard::{self, Guard};
use crate::connect::Session;
use crate::failure::{Failure, Outcome, error_text, exit};
use crate::go::format_duration;
use crate::print::Answer;
use crate::terminal::{complain, print_line};
use quorate_client::plan;
use std::time::Instant;

/// Reclaims file space of the members at --endpoints, one after the other
///
/// A member of etcd serves nothing while it is defragmented; one of Quorate does.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    offline: DefragArgs,
    /// Defragment all members of the cluster
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    guard: Guard,
}

impl Args {
    /// The arguments of etcdutl's command, if a data directory is named.
    pub fn into_offline(self) -> Result<DefragArgs, Box<Args>> {
        if self.offline.data_dir.is_some() { Ok(self.offline) } else { Err(Box::new(self)) }
    }
}

/// Defragments; goes on after a failure and reports it by the exit code.
pub async fn run(args: Args, session: &Session) -> Outcome {
    if args.guard.is_wanted() {
        return guarded(&args, session).await;
    }
    let mut outcome = Ok(());
    let mut done = Vec::new();
    for endpoint in super::endpoint::endpoints(args.cluster, session).await? {
        let start = Instant::now();
        let result = async { session.client.at(&endpoint)?.maintenance().defragment().await };
        let result = result.await;
        let took = format_duration(start.elapsed());
        let mut fields = serde_json::json!({ "endpoint": endpoint, "took": took });
        match result {
            Ok(_) => {
                let text = format!("Finished defragmenting etcd member[{endpoint}]. took {took}");
                if !session.printer.is_structured() {
                    print_line(text);
                }
            }
            Err(error) => {
                let text = error_text(&error);
                complain(format!(
                    "Failed to defragment etcd member[{endpoint}]. took {took}. ({text})"
                ));
                fields["error"] = text.into();
                outcome = Err(Failure::silent(exit::ERROR));
            }
        }
        done.push(fields);
    }
    if session.printer.is_structured() {
        let fields = vec![("defragmented", serde_json::Value::from(done))];
        session.printer.print(&Answer::Plain { lines: Vec::new(), fields })?;
    }
    outcome
}

/// Followers first, the leader last, each only while the cluster is healthy.
async fn guarded(args: &Args, session: &Session) -> Outcome {
    let endpoints = session.endpoints();
    let chosen = (!args.cluster).then_some(endpoints.as_slice());
    let confirmed =
        args.guard.confirm(session, |cluster| plan::defragment(cluster, chosen)).await?;
    let Some(confirmed) = confirmed else { return Ok(()) };
    let mut done = Vec::new();
    let run = confirmed.run(&session.client, |step, _| {
        if !session.printer.is_structured() {
            print_line(format!("Done: {}", step.what));
        }
        done.push(step.what.clone());
    });
    run.await.map_err(guard::failure)?;
    if session.printer.is_structured() {
        let fields = vec![("done", done.into())];
        session.printer.print(&Answer::Plain { lines: Vec::new(), fields })?;
    }
    Ok(())
}
