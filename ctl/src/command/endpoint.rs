//! `endpoint`: health, status, hashkv of single members.

use crate::connect::Session;
use crate::failure::{Failure, Outcome, error_text, exit};
use crate::print::{Answer, EndpointHash, EndpointHealth, EndpointStatus};
use crate::terminal::{clear_screen, complain};
use quorate_client::proto::etcdserverpb::AlarmType;
use quorate_client::{Client, ClientError, EtcdError};
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Asks single members: are they healthy, what is their state, do their contents agree
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    /// Ask all members of the cluster instead of --endpoints
    #[arg(long, global = true)]
    cluster: bool,
    /// Ask again and again, this long after each answer, until interrupted
    #[arg(
        long,
        global = true,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = crate::cli::duration
    )]
    watch: Option<Duration>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Checks that each endpoint serves a linearizable read and no alarm is raised
    Health {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Shows version, size, role and log position of each endpoint
    Status {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Shows the hash of each endpoint's keys; equal hashes mean equal contents
    Hashkv {
        #[arg(hide = true)]
        rest: Vec<OsString>,
        /// Hash at this revision; 0 for now
        #[arg(long, default_value = "0", value_parser = crate::cli::int)]
        rev: i64,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let Some(interval) = args.watch else { return ask(&args, session).await };
    loop {
        clear_screen();
        // A member that is down now may be back at the next look: say so and go on.
        if let Err(failure) = ask(&args, session).await
            && !failure.text.is_empty()
        {
            complain(format!("Error: {}", failure.text));
        }
        tokio::time::sleep(interval).await;
    }
}

async fn ask(args: &Args, session: &Session) -> Outcome {
    let endpoints = endpoints(args.cluster, session).await?;
    match &args.action {
        Action::Health { .. } => health(&endpoints, session).await,
        Action::Status { .. } => status(&endpoints, session).await,
        Action::Hashkv { rev, .. } => hash_kv(&endpoints, *rev, session).await,
    }
}

/// The endpoints given, or with `cluster` the client URLs of all members.
pub async fn endpoints(cluster: bool, session: &Session) -> Outcome<Vec<String>> {
    if !cluster {
        return Ok(session.endpoints());
    }
    let members = session.client.cluster().member_list().await.map_err(|error| {
        Failure::from(error).within("failed to fetch endpoints from etcd cluster member list: ", "")
    })?;
    Ok(members.members.into_iter().flat_map(|member| member.client_ur_ls).collect())
}

/// All at once, so that one dead member does not delay the report on the others by more than its own time limit.
async fn health(endpoints: &[String], session: &Session) -> Outcome {
    let checks = endpoints.iter().map(|endpoint| check(endpoint, &session.client));
    let list: Vec<EndpointHealth> = futures::future::join_all(checks).await;
    let all_healthy = list.iter().all(|item| item.is_healthy);
    session.printer.print(&Answer::Health(list))?;
    if all_healthy { Ok(()) } else { Err(Failure::new(exit::ERROR, "unhealthy cluster")) }
}

async fn check(endpoint: &str, client: &Client) -> EndpointHealth {
    let start = Instant::now();
    let result = ask_health(endpoint, client).await;
    let took = start.elapsed();
    let endpoint = endpoint.to_owned();
    let error = result.err().unwrap_or_default();
    EndpointHealth { endpoint, is_healthy: error.is_empty(), took, error }
}

async fn ask_health(endpoint: &str, client: &Client) -> Result<(), String> {
    let client = client.at(endpoint).map_err(|error| error_text(&error))?;
    match client.kv().get("health").await {
        Ok(_) => {}
        // A refused permission proves that the proposal was understood.
        Err(error) if error.etcd() == Some(EtcdError::PermissionDenied) => {}
        Err(error) => return Err(error_text(&error)),
    }
    let Ok(answer) = client.maintenance().alarm_list().await else { return Ok(()) };
    if answer.alarms.is_empty() {
        return Ok(());
    }
    let name = |kind: i32| match AlarmType::try_from(kind) {
        Ok(AlarmType::Nospace) => "NOSPACE ",
        Ok(AlarmType::Corrupt) => "CORRUPT ",
        _ => "UNKNOWN ",
    };
    let names: String = answer.alarms.iter().map(|alarm| name(alarm.alarm)).collect();
    Err(format!("Active Alarm(s): {names}"))
}

async fn status(endpoints: &[String], session: &Session) -> Outcome {
    let mut list = Vec::new();
    let mut outcome = Ok(());
    for endpoint in endpoints {
        match ask_status(endpoint, &session.client).await {
            Ok(response) => list.push(EndpointStatus { endpoint: endpoint.clone(), response }),
            Err(error) => {
                let text = error_text(&error);
                complain(format!("Failed to get the status of endpoint {endpoint} ({text})"));
                outcome = Err(Failure::silent(exit::ERROR));
            }
        }
    }
    session.printer.print(&Answer::Status(list))?;
    outcome
}

async fn ask_status(
    endpoint: &str,
    client: &Client,
) -> Result<quorate_client::proto::etcdserverpb::StatusResponse, ClientError> {
    client.at(endpoint)?.maintenance().status().await
}

async fn hash_kv(endpoints: &[String], revision: i64, session: &Session) -> Outcome {
    let mut list = Vec::new();
    let mut outcome = Ok(());
    for endpoint in endpoints {
        let answer = async { session.client.at(endpoint)?.maintenance().hash_kv(revision).await };
        match answer.await {
            Ok(response) => list.push(EndpointHash { endpoint: endpoint.clone(), response }),
            Err(error) => {
                let text = error_text(&error);
                complain(format!("Failed to get the hash of endpoint {endpoint} ({text})"));
                outcome = Err(error.into());
            }
        }
    }
    session.printer.print(&Answer::HashKv(list))?;
    outcome
}
