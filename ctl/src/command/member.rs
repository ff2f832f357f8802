//! `member`: add, remove, update, promote, list.

use super::guard::{self, Guard};
use super::key::{member_id, text};
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::go::quote;
use crate::print::{Answer, Format};
use crate::terminal::{print_line, print_text};
use quorate_client::model::{ClusterSnapshot, MemberId};
use quorate_client::plan::{self, Made, Plan};
use quorate_client::proto::etcdserverpb as pb;
use std::ffi::OsString;

/// Adds, changes, removes and lists the members of the cluster
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Adds a member, which is started afterwards with the settings that are printed
    Add {
        #[arg(value_name = "NAME")]
        name: Vec<OsString>,
        /// Peer URLs of the new member, comma-separated
        #[arg(long, default_value = "", hide_default_value = true)]
        peer_urls: String,
        /// Add it as a learner, without a vote
        #[arg(long)]
        learner: bool,
        #[command(flatten)]
        guard: Guard,
    },
    /// Removes a member for good
    Remove {
        #[arg(value_name = "MEMBER")]
        id: Vec<OsString>,
        #[command(flatten)]
        guard: Guard,
    },
    /// Replaces a member's peer URLs
    Update {
        #[arg(value_name = "MEMBER")]
        id: Vec<OsString>,
        /// The new peer URLs, comma-separated
        #[arg(long, default_value = "", hide_default_value = true)]
        peer_urls: String,
    },
    /// Lists the members
    List {
        #[arg(hide = true)]
        rest: Vec<OsString>,
        /// Confirmed by a quorum (l), or as the asked member knows it (s)
        #[arg(long, default_value = "l")]
        consistency: String,
    },
    /// Gives a learner its vote
    Promote {
        #[arg(value_name = "MEMBER")]
        id: Vec<OsString>,
        #[command(flatten)]
        guard: Guard,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let cluster = session.client.cluster();
    match args.action {
        Action::Add { name, peer_urls, learner, guard } => {
            add(&name, &peer_urls, learner, guard, session).await
        }
        Action::Remove { id, guard } => {
            let id = only_id(&id)?;
            if guard.is_wanted() {
                let plan = |cluster: &_| plan::member_remove(cluster, MemberId(id));
                return guarded(guard, session, &[], plan).await;
            }
            let response = cluster.member_remove(id).await?;
            session.printer.print(&Answer::MemberRemove { id, response })
        }
        Action::Update { id, peer_urls } => {
            let id = only_id(&id)?;
            let urls = split_urls(&peer_urls)?;
            let response = cluster.member_update(id, urls).await?;
            session.printer.print(&Answer::MemberUpdate { id, response })
        }
        Action::Promote { id, guard } => {
            let id = only_id(&id)?;
            if guard.is_wanted() {
                let plan = |cluster: &_| plan::member_promote(cluster, MemberId(id));
                return guarded(guard, session, &[], plan).await;
            }
            let response = cluster.member_promote(id).await?;
            session.printer.print(&Answer::MemberPromote { id, response })
        }
        Action::List { consistency, .. } => {
            let response = match consistency.as_str() {
                "l" => cluster.member_list().await?,
                "s" => cluster.member_list_local().await?,
                // etcdctl names the default here, not what was given.
                _ => return Err(Failure::new(exit::BAD_FEATURE, "unknown consistency flag \"l\"")),
            };
            session.printer.print(&Answer::MemberList(response))
        }
    }
}

fn only_id(arguments: &[OsString]) -> Outcome<u64> {
    let [id] = arguments else { return Err(Failure::bad_args("member ID is not provided")) };
    member_id(&text(id))
}

/// Splits a comma-separated list and checks each URL as etcd's client does, before anything is sent.
fn split_urls(list: &str) -> Outcome<Vec<String>> {
    if list.is_empty() {
        return Err(Failure::bad_args("member peer urls not provided"));
    }
    list.split(',').map(|url| check_url(url).map(|()| url.to_owned())).collect()
}

fn check_url(url: &str) -> Outcome {
    let bad = |text: String| Err(Failure::new(exit::ERROR, text));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if !["http", "https", "unix", "unixs"].contains(&scheme) {
        return bad(format!("URL scheme must be http, https, unix, or unixs: {url}"));
    }
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    if scheme.starts_with("http") && !host.contains(':') {
        return bad(format!("URL address does not have the form \"host:port\": {url}"));
    }
    if scheme.starts_with("http") && (!path.is_empty() || rest.ends_with('/')) {
        return bad(format!("URL must not contain a path: {url}"));
    }
    Ok(())
}

async fn add(
    name: &[OsString],
    peer_urls: &str,
    learner: bool,
    guard: Guard,
    session: &Session,
) -> Outcome {
    let name = match name {
        [] => return Err(Failure::bad_args("member name not provided")),
        [name] => text(name),
        _ => return Err(Failure::bad_args("too many arguments")),
    };
    let urls = split_urls(peer_urls)?;
    if guard.is_wanted() {
        let plan = |cluster: &_| plan::member_add(cluster, urls, learner);
        return guarded(guard, session, &[&name, peer_urls], plan).await;
    }
    let cluster = session.client.cluster();
    let response = if learner {
        cluster.member_add_learner(urls).await?
    } else {
        cluster.member_add(urls).await?
    };
    print_added(&name, peer_urls, response, session)
}

fn print_added(
    name: &str,
    peer_urls: &str,
    response: pb::MemberAddResponse,
    session: &Session,
) -> Outcome {
    let settings = settings(name, peer_urls, &response);
    session.printer.print(&Answer::MemberAdd(response))?;
    if session.printer.format == Format::Simple {
        print_line("");
        print_text(settings);
    }
    Ok(())
}

/// Shows a plan, or makes it and prints the answer as without a guard. `added` are name and peer URLs of a new member.
async fn guarded(
    guard: Guard,
    session: &Session,
    added: &[&str],
    plan: impl FnOnce(&ClusterSnapshot) -> Plan,
) -> Outcome {
    let Some(confirmed) = guard.confirm(session, plan).await? else { return Ok(()) };
    let mut made = Vec::new();
    let run =
        confirmed.run(&session.client, |step, answer| made.push((step.action.clone(), answer)));
    run.await.map_err(guard::failure)?;
    for step in made {
        match step {
            (plan::Action::RemoveMember { id }, Made::Removed(response)) => {
                session.printer.print(&Answer::MemberRemove { id: id.0, response })?;
            }
            (plan::Action::PromoteMember { id }, Made::Promoted(response)) => {
                session.printer.print(&Answer::MemberPromote { id: id.0, response })?;
            }
            (_, Made::Added(response)) => {
                let [name, peer_urls] = added else { continue };
                print_added(name, peer_urls, response, session)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The settings that the new member has to be started with.
fn settings(name: &str, peer_urls: &str, response: &pb::MemberAddResponse) -> String {
    let id = response.member.as_ref().map(|member| member.id);
    let mut pairs = Vec::new();
    for member in &response.members {
        let member_name = if Some(member.id) == id { name } else { &member.name };
        pairs.extend(member.peer_ur_ls.iter().map(|url| format!("{member_name}={url}")));
    }
    let cluster = pairs.join(",");
    format!(
        "ETCD_NAME={}\nETCD_INITIAL_CLUSTER={}\nETCD_INITIAL_ADVERTISE_PEER_URLS={}\n\
         ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
        quote(name.as_bytes()),
        quote(cluster.as_bytes()),
        quote(peer_urls.as_bytes()),
    )
}
