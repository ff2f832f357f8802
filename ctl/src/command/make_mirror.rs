//! `make-mirror`: copy the keys of one cluster to another and keep the copy up to date.

use super::key::text;
use crate::connect::{Session, user_password};
use crate::failure::{Failure, Outcome};
use crate::progress::{Progress, Unit};
use crate::terminal::print_line;
use bytes::Bytes;
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::etcdserverpb::request_op::Request;
use quorate_client::proto::mvccpb::{Event, event::EventType};
use quorate_client::{Client, Config, Tls, WatchOptions, prefix_end};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Keys read at a time while the copy is made.
const PAGE_KEYS: i64 = 1000;

/// How often the number of copied changes is printed.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// Copies keys to another cluster, and every change from then on, until interrupted
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_name = "DESTINATION")]
    destination: Vec<OsString>,
    /// Only keys that start with this
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Copy no present keys, only the changes after this revision
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    rev: i64,
    /// Most changes to write in one transaction
    #[arg(long, default_value = "128", value_parser = crate::cli::unsigned)]
    max_txn_ops: u64,
    /// What the prefix becomes at the destination
    #[arg(long, default_value = "", hide_default_value = true)]
    dest_prefix: String,
    /// Drop the prefix at the destination
    #[arg(long)]
    no_dest_prefix: bool,
    /// Client certificate for the destination (PEM)
    #[arg(long, value_name = "FILE")]
    dest_cert: Option<PathBuf>,
    /// Key of that certificate (PEM)
    #[arg(long, value_name = "FILE")]
    dest_key: Option<PathBuf>,
    /// Authorities that may sign the destination's certificates (PEM)
    #[arg(long, value_name = "FILE")]
    dest_cacert: Option<PathBuf>,
    /// Speak without TLS to the destination
    #[arg(long, default_value = "true", action = clap::ArgAction::Set)]
    dest_insecure_transport: bool,
    /// User at the destination, NAME or NAME:PASSWORD
    #[arg(long, default_value = "", hide_default_value = true)]
    dest_user: String,
    /// Password of that user. Other users of this machine can see arguments: prefer the prompt
    #[arg(long, default_value = "", hide_default_value = true)]
    dest_password: String,
}

/// Mirrors until interrupted.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let [destination] = args.destination.as_slice() else {
        return Err(Failure::bad_args("make-mirror takes one destination argument"));
    };
    if !args.dest_prefix.is_empty() && args.no_dest_prefix {
        return Err(Failure::bad_args(
            "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one",
        ));
    }
    let wants_tls = args.dest_cacert.is_some() || args.dest_cert.is_some();
    let tls = (wants_tls || !args.dest_insecure_transport).then(|| Tls {
        ca: args.dest_cacert.clone(),
        cert: args.dest_cert.clone(),
        key: args.dest_key.clone(),
        ..Tls::default()
    });
    let config = Config {
        endpoints: vec![text(destination)],
        tls,
        credentials: user_password(&args.dest_user, &args.dest_password)?,
        ..session.client.config().clone()
    };
    let renaming = Renaming::new(&args);
    let target = Client::connect(config).await?;
    let mirror = Mirror { source: session.client.clone(), target, renaming };
    mirror.run(args.rev, usize::try_from(args.max_txn_ops).unwrap_or(usize::MAX)).await
}

/// How keys are called at the destination.
struct Renaming {
    from: Bytes,
    to: Bytes,
}

impl Renaming {
    fn new(args: &Args) -> Renaming {
        let to = if args.dest_prefix.is_empty() && !args.no_dest_prefix {
            &args.prefix
        } else {
            &args.dest_prefix
        };
        Renaming { from: args.prefix.clone().into(), to: to.clone().into() }
    }

    fn apply(&self, key: &[u8]) -> Bytes {
        let rest = key.strip_prefix(&self.from[..]).unwrap_or(key);
        [&self.to[..], rest].concat().into()
    }
}

struct Mirror {
    source: Client,
    target: Client,
    renaming: Renaming,
}

impl Mirror {
    async fn run(&self, revision: i64, max_txn_ops: usize) -> Outcome {
        let mut copied = 0;
        let revision = if revision == 0 { self.copy(&mut copied).await? } else { revision };
        let (key, range_end) = self.interval();
        let options =
            WatchOptions { key, range_end, start_revision: revision + 1, ..Default::default() };
        let mut watcher = self.source.watch().start(options);
        let mut report = Instant::now() + REPORT_INTERVAL;
        loop {
            let message = tokio::select! {
                message = watcher.next() => message,
                () = tokio::time::sleep_until(report) => {
                    print_line(copied.to_string());
                    report += REPORT_INTERVAL;
                    continue;
                }
            };
            let Some(message) = message else { return Ok(()) };
            self.write(message?.events, max_txn_ops, &mut copied).await?;
        }
    }

    fn interval(&self) -> (Bytes, Bytes) {
        let prefix = &self.renaming.from;
        if prefix.is_empty() {
            let all = Bytes::from_static(b"\0");
            return (all.clone(), all);
        }
        (prefix.clone(), prefix_end(prefix))
    }

    /// Copies what is there now, all of one revision; gives that revision.
    async fn copy(&self, copied: &mut u64) -> Outcome<i64> {
        let (mut key, range_end) = self.interval();
        let (mut revision, mut total) = (0, 0);
        let mut progress = Progress::new("copying", Unit::Keys);
        loop {
            let request = pb::RangeRequest {
                key: key.clone(),
                range_end: range_end.clone(),
                limit: PAGE_KEYS,
                revision,
                ..Default::default()
            };
            let page = self.source.kv().range(request).await?;
            if revision == 0 {
                revision = page.header.unwrap_or_default().revision;
                total = u64::try_from(page.count).unwrap_or_default();
            }
            if let Some(last) = page.kvs.last() {
                // The smallest key after the last.
                key = [&last.key[..], b"\0"].concat().into();
            }
            for kv in page.kvs {
                let key = self.renaming.apply(&kv.key);
                let put = pb::PutRequest { key, value: kv.value, ..Default::default() };
                self.target.kv().put(put).await?;
                *copied += 1;
                progress.show(*copied, total);
            }
            if !page.more {
                return Ok(revision);
            }
        }
    }

    /// Writes changes in order: those of one revision in one transaction, unless there are too many of them.
    async fn write(&self, events: Vec<Event>, max_txn_ops: usize, copied: &mut u64) -> Outcome {
        let mut batch: Vec<pb::RequestOp> = Vec::new();
        let mut batch_revision = 0;
        for event in events {
            let Some(kv) = event.kv else { continue };
            let is_new = kv.mod_revision != batch_revision || batch.len() >= max_txn_ops.max(1);
            if is_new && !batch.is_empty() {
                self.commit(&mut batch, copied).await?;
            }
            batch_revision = kv.mod_revision;
            let key = self.renaming.apply(&kv.key);
            let request = if event.r#type == EventType::Delete as i32 {
                let delete = pb::DeleteRangeRequest { key, ..Default::default() };
                Request::RequestDeleteRange(delete)
            } else {
                let put = pb::PutRequest { key, value: kv.value, ..Default::default() };
                Request::RequestPut(put)
            };
            batch.push(pb::RequestOp { request: Some(request) });
        }
        if batch.is_empty() { Ok(()) } else { self.commit(&mut batch, copied).await }
    }

    async fn commit(&self, batch: &mut Vec<pb::RequestOp>, copied: &mut u64) -> Outcome {
        let success = std::mem::take(batch);
        *copied += success.len() as u64;
        self.target.kv().txn(pb::TxnRequest { success, ..Default::default() }).await?;
        Ok(())
    }
}
