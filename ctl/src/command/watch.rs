//! `watch`: print the changes of keys as they come, or run a command for each.
//!
//! Where the words after the flags end and a command begins is told only by `--`, so the raw arguments are looked at
//! (`etcd:etcdctl/ctlv3/command/watch_command.go`).

use super::key::{Reach, bytes};
use super::lock::exec_text;
use super::txn_input::split_words;
use crate::cli::{Command, Complaint, parse_line};
use crate::connect::Session;
use crate::failure::{Failure, Outcome, error_text, exit};
use crate::go::{exit_text, quote};
use crate::print::Answer;
use crate::terminal::{complain, read_line};
use quorate_client::proto::etcdserverpb::WatchResponse;
use quorate_client::proto::mvccpb::{Event, event::EventType};
use quorate_client::{Client, ClientError, Progress, WatchOptions, Watcher};
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::rc::Rc;
use tokio::task::LocalSet;

/// Prints the changes of a key, or of the keys from KEY up to (not including) RANGE_END
///
/// With `-- COMMAND`, the command is run for each change; it finds ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE,
/// ETCD_WATCH_KEY and ETCD_WATCH_VALUE (the last three quoted) in its environment. The key may also come from
/// ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END. With -i, lines `watch [OPTIONS] KEY [RANGE_END]` and `progress`
/// are read from stdin.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_name = "KEY [RANGE_END] [-- COMMAND …]")]
    words: Vec<OsString>,
    /// Read what to watch from stdin, line by line
    #[arg(short, long)]
    interactive: bool,
    /// All keys that start with KEY
    #[arg(long)]
    prefix: bool,
    /// Start from this revision; 0 for now
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    rev: i64,
    /// Print the pair as it was before too
    #[arg(long)]
    prev_kv: bool,
    /// Print now and then up to which revision nothing has happened
    #[arg(long)]
    progress_notify: bool,
}

/// Watches until interrupted.
pub async fn run(args: Args, session: &Session, arguments: &[OsString]) -> Outcome {
    if args.interactive {
        return LocalSet::new().run_until(interactive(session)).await;
    }
    let (options, command) = plan(args, arguments)?;
    let mut watcher = start(&session.client, options);
    print_all(&mut watcher, session, &command, |_| {}).await
}

fn start(client: &Client, options: WatchOptions) -> Watcher {
    // A member that has lost the cluster must not look like one where nothing happens.
    client.with_require_leader().watch().start(options)
}

/// What to watch and what to run, from the words, the environment and the place of `--`.
fn plan(args: Args, arguments: &[OsString]) -> Outcome<(WatchOptions, Vec<OsString>)> {
    let mut words = args.words;
    let after = arguments.iter().position(|word| word == "--").map(|at| arguments.len() - at - 1);
    let command = match after {
        Some(0) if !words.is_empty() => {
            let text = "bad number of arguments (found separator --, but no commands)";
            return Err(Failure::bad_args(text));
        }
        Some(after) => words.split_off(words.len().saturating_sub(after)),
        None => Vec::new(),
    };
    if let Some(key) = variable(KEY_VARIABLES) {
        if !words.is_empty() {
            let text = "bad number of arguments (found conflicting environment key)";
            return Err(Failure::bad_args(text));
        }
        words.push(key);
        words.extend(variable(RANGE_END_VARIABLES));
    }
    let mut words = words.into_iter();
    // More words than two are passed over, as etcdctl does.
    let (Some(key), range_end) = (words.next(), words.next()) else {
        return Err(Failure::bad_args(BAD_NUMBER));
    };
    if args.prefix && range_end.is_some() {
        return Err(Failure::bad_args("`range_end` and `--prefix` are mutually exclusive"));
    }
    let reach = if args.prefix { Reach::Prefix } else { Reach::Key };
    let (key, range_end) = reach.interval(bytes(key), range_end.map(bytes))?;
    let options = WatchOptions {
        key,
        range_end,
        start_revision: args.rev,
        prev_kv: args.prev_kv,
        progress_notify: args.progress_notify,
        ..Default::default()
    };
    Ok((options, command))
}

const BAD_NUMBER: &str = "bad number of arguments";
const KEY_VARIABLES: [&str; 2] = ["ETCDCTL_WATCH_KEY", "QUORATECTL_WATCH_KEY"];
const RANGE_END_VARIABLES: [&str; 2] = ["ETCDCTL_WATCH_RANGE_END", "QUORATECTL_WATCH_RANGE_END"];

/// The first of these that says something.
fn variable(names: [&str; 2]) -> Option<OsString> {
    names.iter().find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

/// Prints message after message; `opened` learns of each new stream's handle for progress requests.
async fn print_all(
    watcher: &mut Watcher,
    session: &Session,
    command: &[OsString],
    opened: impl Fn(Progress),
) -> Outcome {
    while let Some(message) = watcher.next().await {
        let message = match message {
            Ok(message) if message.created => {
                watcher.progress().into_iter().for_each(&opened);
                continue;
            }
            Ok(message) => message,
            Err(error) => return Err(canceled(watcher, &error, session)),
        };
        let revision = message.header.unwrap_or_default().revision;
        let events = if command.is_empty() { Vec::new() } else { message.events.clone() };
        session.printer.print(&Answer::Watch(message))?;
        for event in events {
            execute(command, revision, &event).await?;
        }
    }
    Ok(())
}

/// What is printed when the server ends a watch.
fn canceled(watcher: &Watcher, error: &ClientError, session: &Session) -> Failure {
    if !matches!(error, ClientError::Compacted { .. } | ClientError::WatchCanceled { .. }) {
        return Failure::new(exit::INTERRUPTED, error_text(error));
    }
    if let Some(message) = watcher.closing() {
        // Of a watch that was refused outright, Go's client shows nothing but that.
        let message = if message.created {
            WatchResponse { canceled: true, ..Default::default() }
        } else {
            message.clone()
        };
        if let Err(failure) = session.printer.print(&Answer::Watch(message)) {
            return failure;
        }
    }
    complain(format!("watch was canceled ({})", error_text(error)));
    Failure::new(exit::INTERRUPTED, "watch is canceled by the server")
}

async fn execute(command: &[OsString], revision: i64, event: &Event) -> Outcome {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let kind = EventType::try_from(event.r#type).unwrap_or_default().as_str_name();
    let kv = event.kv.clone().unwrap_or_default();
    let mut process = std::process::Command::new(program);
    process
        .args(arguments)
        // The lines of standard input are for us.
        .stdin(std::process::Stdio::null())
        .env("ETCD_WATCH_REVISION", revision.to_string())
        .env("ETCD_WATCH_EVENT_TYPE", quote(kind.as_bytes()))
        .env("ETCD_WATCH_KEY", quote(&kv.key))
        .env("ETCD_WATCH_VALUE", quote(&kv.value));
    let status = tokio::task::spawn_blocking(move || process.status()).await;
    let failed = |text: String| {
        let words: Vec<String> =
            command.iter().map(|word| quote(word.as_encoded_bytes())).collect();
        complain(format!("command [{}] error ({text})", words.join(" ")));
        Err(Failure::silent(exit::ERROR))
    };
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => failed(exit_text(status)),
        Ok(Err(error)) => failed(exec_text(program, &error)),
        Err(error) => failed(error.to_string()),
    }
}

/// Reads lines until the end of input; each `watch` runs beside the others.
async fn interactive(session: &Session) -> Outcome {
    let handles: Rc<RefCell<Vec<Progress>>> = Rc::default();
    // etcdctl reads no line before a watch is there; we ask for its progress as soon as it is.
    let is_wanted: Rc<Cell<bool>> = Rc::default();
    let mut started = 0;
    let mut watches = futures::stream::FuturesUnordered::new();
    let mut lines = lines();
    loop {
        use futures::StreamExt;
        let line = tokio::select! {
            line = lines.recv() => line,
            Some(outcome) = watches.next(), if !watches.is_empty() => {
                let outcome: Outcome = outcome;
                outcome?;
                continue;
            }
        };
        let Some(line) = line else {
            let text = "error reading watch request line: EOF";
            return Err(Failure::new(exit::INVALID_INPUT, text));
        };
        let (text, words) = (line.trim_end_matches('\n'), split_words(&line));
        match words.first().and_then(|word| word.to_str()) {
            Some("progress") => {
                is_wanted.set(handles.borrow().len() < started);
                handles.borrow_mut().retain(Progress::request);
            }
            Some("watch") => {
                let Some((options, command)) = line_plan(text, &words, session)? else { continue };
                started += 1;
                let (handles, is_wanted) = (handles.clone(), is_wanted.clone());
                watches.push(async move {
                    let mut watcher = start(&session.client, options);
                    let opened = |handle: Progress| {
                        if is_wanted.take() {
                            handle.request();
                        }
                        handles.borrow_mut().push(handle);
                    };
                    print_all(&mut watcher, session, &command, opened).await
                });
            }
            _ if words.is_empty() => {
                complain(format!("Invalid command: {text} (watch and progress supported)"));
            }
            _ => complain(format!("Invalid command {text} (only support watch)")),
        }
    }
}

/// The plan of an interactive line. A line without sense is only remarked upon; a flag without sense ends the program.
fn line_plan(
    line: &str,
    words: &[OsString],
    session: &Session,
) -> Outcome<Option<(WatchOptions, Vec<OsString>)>> {
    if words.len() < 2 && variable(KEY_VARIABLES).is_none() {
        complain(format!("Invalid command {line} (command type or key is not provided)"));
        return Ok(None);
    }
    match parse_line(session.program, words) {
        Ok(Command::Watch(args)) => match plan(args, words) {
            Ok(plan) => return Ok(Some(plan)),
            // A number of words without sense is not remarked upon, but the end.
            Err(failure) if failure.text.starts_with(BAD_NUMBER) => return Err(failure),
            Err(failure) => complain(format!("Invalid command {line} ({})", failure.text)),
        },
        Ok(_) => {}
        Err(Complaint::Error { text, .. }) => return Err(Failure::bad_args(text)),
        Err(Complaint::Help(text) | Complaint::Notice(text)) => complain(text),
    }
    Ok(None)
}

/// Lines waiting to be taken: a person types one at a time, a script waits.
const LINE_QUEUE: usize = 16;

/// The lines of stdin, read by a thread of their own; the channel ends with the input.
fn lines() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::channel(LINE_QUEUE);
    std::thread::spawn(move || {
        while let Some(line) = read_line() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
