//! `lock`: hold a lock until interrupted, or while a command runs.

use super::contest::{Contestant, cancelled, interrupted};
use super::key::bytes;
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::go::exit_text;
use crate::print::Answer;
use bytes::Bytes;
use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

/// Holds a lock until interrupted, or while COMMAND runs
///
/// The command finds ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment; its exit code becomes ours.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_name = "NAME [COMMAND …]")]
    words: Vec<OsString>,
    /// Seconds after which the lock is lost if we vanish
    #[arg(long, default_value = "10", value_parser = crate::cli::int)]
    ttl: i64,
}

/// Takes the lock, holds it, gives it back.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let mut words = args.words.into_iter();
    let Some(name) = words.next() else {
        return Err(Failure::bad_args(
            "lock takes a lock name argument and an optional command to execute",
        ));
    };
    let name = bytes(name);
    let entered = tokio::select! {
        entered = Contestant::join(session, &name, Bytes::new(), args.ttl) => entered?,
        () = interrupted() => return Err(cancelled()),
    };
    let entered = entered.win(&name).await?;
    let outcome = match words.next() {
        Some(program) => execute(&program, words.collect(), &entered).await,
        None => hold(session, &entered).await,
    };
    let left = entered.leave().await;
    outcome.and(left)
}

/// Prints the lock's key and waits for a signal.
async fn hold(session: &Session, entered: &Contestant) -> Outcome {
    let response = session.client.kv().get(entered.key().clone()).await?;
    if response.kvs.is_empty() {
        return Err(Failure::new(exit::ERROR, "lock lost on init"));
    }
    session.printer.print(&Answer::Get { response, value_only: false })?;
    tokio::select! {
        () = interrupted() => Ok(()),
        () = entered.lost() => Err(Failure::new(exit::ERROR, "session expired")),
    }
}

async fn execute(program: &OsString, arguments: Vec<OsString>, entered: &Contestant) -> Outcome {
    let mut command = Command::new(program);
    command
        .args(arguments)
        // As with etcdctl: what a script gets on its standard input is not for this command.
        .stdin(Stdio::null())
        .env("ETCD_LOCK_KEY", String::from_utf8_lossy(entered.key()).as_ref())
        .env("ETCD_LOCK_REV", entered.revision().to_string());
    let status = tokio::task::spawn_blocking(move || command.status()).await;
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let code = status.code().map_or(exit::SIGNALED, |code| {
                // Codes of other systems may be larger.
                u8::try_from(code).unwrap_or(exit::ERROR)
            });
            Err(Failure::new(code, exit_text(status)))
        }
        Ok(Err(error)) => Err(Failure::new(exit::ERROR, exec_text(program, &error))),
        Err(error) => Err(Failure::new(exit::ERROR, error.to_string())),
    }
}

/// Why a program could not be run, in Go's words.
pub fn exec_text(program: &OsString, error: &io::Error) -> String {
    let name = program.to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound && !name.contains('/') {
        let quoted = crate::go::quote(name.as_bytes());
        return format!("exec: {quoted}: executable file not found in $PATH");
    }
    format!("fork/exec {name}: {}", crate::go::io_text(error))
}
