//! From a command line that was read to the file of its command. Which commands need a cluster is decided here.

use super::snapshot_file::Files;
use super::{
    alarm, auth, check, compaction, completion, data_dir, defrag, del, downgrade, elect, endpoint,
    generate, get, lease, lock, make_mirror, member, move_leader, options, put, role, snapshot,
    snapshot_file, txn, user, version, watch,
};
use crate::cli::{Cli, Command, Global, Utl, UtlCommand};
use crate::connect::Session;
use crate::failure::Outcome;
use crate::print::{Format, Printer};
use std::ffi::OsString;
use std::time::Duration;

/// How long commands on files wait for whoever has a file open: etcdutl's default.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a command line of `etcdutl`: what needs no member.
///
/// # Errors
/// What the command ends with, exit code included.
pub fn run_utl(utl: Utl, program: &'static str) -> Outcome {
    let printer = Printer { format: Format::parse(&utl.write_out)?, hex: false, is_twin: true };
    let patience = (!utl.timeout.is_zero()).then_some(utl.timeout);
    let files = Files { printer, patience };
    match utl.command {
        UtlCommand::Snapshot { action } => snapshot_file::run(action, &files),
        UtlCommand::Hashkv(args) => snapshot_file::run_hash(args, &files),
        UtlCommand::Defrag(args) => data_dir::run_defrag(&args, &files),
        UtlCommand::Migrate(args) => data_dir::run_migrate(&args, &files),
        UtlCommand::Version(args) => version::run(&args, program, &printer),
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
        Command::Version(args) => {
            // An unknown format is no reason not to say who we are.
            let plain = Printer { format: Format::Simple, hex: false, is_twin: true };
            let printer = Printer::from_flags(&global, program).unwrap_or(plain);
            return version::run(args, program, &printer);
        }
        Command::Completion(args) => return completion::run(args, program),
        Command::Options(_) => return options::run(program),
        Command::Generate(args) => return generate::run(args, program),
        _ => {}
    }
    let command = match run_on_files(command, &global, program) {
        Ok(outcome) => return outcome,
        Err(command) => *command,
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
        Command::Version(_)
        | Command::Completion(_)
        | Command::Options(_)
        | Command::Generate(_)
        | Command::Hashkv(_)
        | Command::Migrate(_) => Ok(()),
    }
}

/// Runs a command that works on files and needs no member; gives any other command back.
fn run_on_files(
    command: Command,
    global: &Global,
    program: &'static str,
) -> Result<Outcome, Box<Command>> {
    let files = || {
        let printer = Printer::from_flags(global, program)?;
        Ok(Files { printer, patience: Some(PATIENCE) })
    };
    let outcome = match command {
        Command::Snapshot(args) => match args.into_offline() {
            Ok(action) => files().and_then(|files| snapshot_file::run(action, &files)),
            Err(args) => return Err(Box::new(Command::Snapshot(*args))),
        },
        Command::Defrag(args) => match args.into_offline() {
            Ok(args) => files().and_then(|files| data_dir::run_defrag(&args, &files)),
            Err(args) => return Err(Box::new(Command::Defrag(*args))),
        },
        Command::Hashkv(args) => files().and_then(|files| snapshot_file::run_hash(args, &files)),
        Command::Migrate(args) => files().and_then(|files| data_dir::run_migrate(&args, &files)),
        command => return Err(Box::new(command)),
    };
    Ok(outcome)
}
