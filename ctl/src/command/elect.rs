//! `elect`: campaign for a leadership of one's own making, or observe one.

use super::contest::{Contestant, cancelled, interrupted, prefix, wait_for_delete, winner};
use super::key::bytes;
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::print::Answer;
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::mvccpb::event::EventType;
use quorate_client::{WatchOptions, prefix_end};
use std::ffi::OsString;

/// Seconds after which leadership is lost if we vanish; that of Go's client.
const SESSION_TTL: i64 = 60;

/// Campaigns in election NAME with PROPOSAL until interrupted, or observes its leaders
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_name = "NAME [PROPOSAL]")]
    words: Vec<OsString>,
    /// Observe instead of campaigning
    #[arg(short, long)]
    listen: bool,
}

/// Campaigns or observes.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let mut words = args.words.into_iter();
    let (Some(name), proposal, None) = (words.next(), words.next(), words.next()) else {
        return Err(Failure::bad_args(
            "elect takes one election name argument and an optional proposal argument",
        ));
    };
    let name = bytes(name);
    match (proposal, args.listen) {
        (None, false) => Err(Failure::bad_args("no proposal argument but -l not set")),
        (Some(_), true) => Err(Failure::bad_args("proposal given but -l is set")),
        (None, true) => tokio::select! {
            outcome = observe(&name, session) => outcome,
            () = interrupted() => Ok(()),
        },
        (Some(proposal), false) => campaign(&name, proposal, session).await,
    }
}

async fn campaign(name: &[u8], proposal: OsString, session: &Session) -> Outcome {
    let elected = tokio::select! {
        elected = Contestant::join(session, name, bytes(proposal), SESSION_TTL) => elected?,
        () = interrupted() => return Err(cancelled()),
    };
    let elected = elected.win(name).await?;
    let response = session.client.kv().get(elected.key().clone()).await?;
    session.printer.print(&Answer::Get { response, value_only: false })?;
    tokio::select! {
        () = interrupted() => elected.leave().await,
        () = elected.lost() => Err(Failure::new(exit::ERROR, "elect: session expired")),
    }
}

/// Prints the leader, and every change, as Go's client observes it: each message has one pair and no count.
async fn observe(name: &[u8], session: &Session) -> Outcome {
    let client = &session.client;
    loop {
        let answer = client.kv().range(winner(name)).await?;
        let revision = answer.header.unwrap_or_default().revision;
        let Some(leader) = answer.kvs.into_iter().next() else {
            wait_for_leader(name, revision + 1, session).await?;
            continue;
        };
        let key = leader.key.clone();
        let first =
            pb::RangeResponse { header: answer.header, kvs: vec![leader], ..Default::default() };
        session.printer.print(&Answer::Get { response: first, value_only: false })?;
        print_changes(key, revision + 1, session).await?;
    }
}

/// Waits until any contestant enters.
async fn wait_for_leader(name: &[u8], start_revision: i64, session: &Session) -> Outcome {
    let key = prefix(name);
    let range_end = prefix_end(&key);
    let options = WatchOptions { key, range_end, start_revision, ..Default::default() };
    let mut watcher = session.client.watch().start(options);
    while let Some(message) = watcher.next().await {
        if message?.events.iter().any(|event| event.r#type == EventType::Put as i32) {
            return Ok(());
        }
    }
    Ok(())
}

/// Prints each new proposal of a leader until its key goes.
async fn print_changes(key: bytes::Bytes, start_revision: i64, session: &Session) -> Outcome {
    let options = WatchOptions { key: key.clone(), start_revision, ..Default::default() };
    let mut watcher = session.client.watch().start(options);
    while let Some(message) = watcher.next().await {
        let message = message?;
        for event in message.events {
            if event.r#type == EventType::Delete as i32 {
                return Ok(());
            }
            let response = pb::RangeResponse {
                header: message.header,
                kvs: event.kv.into_iter().collect(),
                ..Default::default()
            };
            session.printer.print(&Answer::Get { response, value_only: false })?;
        }
    }
    wait_for_delete(&session.client, key, 0).await
}
