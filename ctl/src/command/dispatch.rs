//! From a command line that was read to the file of its command. Which commands need a cluster is decided here.

use super::{
    alarm, auth, check, compaction, completion, defrag, del, downgrade, elect, endpoint, get,
    lease, lock, make_mirror, member, move_leader, options, put, role, snapshot, snapshot_file,
    txn, user, version, watch,
};
use crate::cli::{Cli, Command, Utl, UtlCommand};
use crate::connect::Session;
use crate::failure::Outcome;
use crate::print::{Format, Printer};
use std::ffi::OsString;

/// Runs a command line of `etcdutl`: what needs no member.
///
/// # Errors
/// What the command ends with, exit code included.
pub fn run_utl(utl: Utl, program: &'static str) -> Outcome {
    let printer = Printer { format: Format::parse(&utl.write_out)?, hex: false };
    match utl.command {
        UtlCommand::Snapshot { action } => snapshot_file::run(action, &printer),
        UtlCommand::Hashkv(args) => snapshot_file::run_hash(args, &printer),
        UtlCommand::Version(args) => version::run(&args, program),
        UtlCommand::Completion(args) => completion::run(&args, program),
    }
}

/// Runs one command line.
///
/// # Errors
/// What the command ends with, exit code included.
pub async fn run(cli: Cli, program: &'static str, arguments: &[OsString]) -> Outcome {
    let Cli { global, command } = cli;
    // These need no cluster and must work with flags that make no client.
    match &command {
        Command::Version(args) => return version::run(args, program),
        Command::Completion(args) => return completion::run(args, program),
        Command::Options(_) => return options::run(program),
        _ => {}
    }
    let command = match command {
        Command::Snapshot(args) => match args.into_offline() {
            Ok(action) => return snapshot_file::run(action, &Printer::from_flags(&global)?),
            Err(args) => Command::Snapshot(*args),
        },
        Command::Hashkv(args) => {
            return snapshot_file::run_hash(args, &Printer::from_flags(&global)?);
        }
        command => command,
    };
    let session = Session::open(global, program).await?;
    options::show_settings(&session);
    match command {
        Command::Get(args) => get::run(args, &session).await,
        Command::Put(args) => put::run(args, &session).await,
        Command::Del(args) => del::run(args, &session).await,
        Command::Txn(args) => txn::run(args, &session).await,
        Command::Compaction(args) => compaction::run(args, &session).await,
        Command::Alarm(args) => alarm::run(args, &session).await,
        Command::Defrag(args) => defrag::run(args, &session).await,
        Command::Endpoint(args) => endpoint::run(args, &session).await,
        Command::MoveLeader(args) => move_leader::run(args, &session).await,
        Command::Watch(args) => watch::run(args, &session, arguments).await,
        Command::Lease(args) => lease::run(args, &session).await,
        Command::Member(args) => member::run(args, &session).await,
        Command::Snapshot(args) => snapshot::run(args, &session).await,
        Command::MakeMirror(args) => make_mirror::run(args, &session).await,
        Command::Check(args) => check::run(args, &session).await,
        Command::Lock(args) => lock::run(args, &session).await,
        Command::Elect(args) => elect::run(args, &session).await,
        Command::Auth(args) => auth::run(args, &session).await,
        Command::User(args) => user::run(args, &session).await,
        Command::Role(args) => role::run(args, &session).await,
        Command::Downgrade(args) => downgrade::run(args, &session).await,
        Command::Version(_) | Command::Completion(_) | Command::Options(_) | Command::Hashkv(_) => {
            Ok(())
        }
    }
}
