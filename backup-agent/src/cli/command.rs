//! The whole command line, its help, and the way from an error to an exit code.

use std::io::IsTerminal;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use super::backup::BackupCommand;
use super::check::CheckCommand;
use super::completion::{CompletionCommand, GenerateCommand};
use super::drill::DrillCommand;
use super::flags::{LogFormat, Output};
use super::list::ListCommand;
use super::prune::PruneCommand;
use super::recover::RecoverCommand;
use super::restore::RestoreCommand;
use super::run::RunCommand;
use super::verify::VerifyCommand;
use crate::error::Result;

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    a file operation on this machine failed
  2    the command line, or a file it names, makes no sense
  3    damaged or contradicted data: a hash, a size, a structure
  4    no such backup
  5    the cluster could not be reached, or answered with an error
  6    the store could not be reached, or answered with an error
  7    refused: a precondition does not hold, nothing was done
  8    a server started for a drill or a recovery failed
  9    the newest backup is too old
  130  stopped by a signal or by the operator
Any other code is a failure.

What stays the same from run to run can be given as QUORATE_BACKUP_<FLAG> in the environment (see [env: …]). Secrets never are flags: S3 keys come from
--s3-access-key-id-file and --s3-secret-access-key-file, from the systemd credentials s3-access-key-id and
s3-secret-access-key, or from the AWS chain (AWS_ACCESS_KEY_ID …, profile files, instance roles).";

/// Scheduled, verified backups of etcd and Quorate clusters, restore, and the guided recovery
#[derive(Debug, Parser)]
#[command(name = "quorate-backup-agent", version, after_help = AFTER_HELP)]
pub struct CommandLine {
    /// How results are printed
    #[arg(long, global = true, env = "QUORATE_BACKUP_OUTPUT", value_enum, default_value_t)]
    output: Output,
    /// How log lines are printed, to standard error
    #[arg(long, global = true, env = "QUORATE_BACKUP_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Which log lines are printed: error, warn, info, debug, or a filter such as quorate_backup_agent=debug
    #[arg(
        long,
        global = true,
        env = "QUORATE_BACKUP_LOG_LEVEL",
        default_value = "info,aws_config=warn"
    )]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a backup
    Backup(BackupCommand),
    /// Show the backups in a store
    List(ListCommand),
    /// Fail when the newest backup is too old: for a monitor
    Check(CheckCommand),
    /// Download a backup and check every byte of it
    Verify(VerifyCommand),
    /// Delete the backups that no keep rule wants
    Prune(PruneCommand),
    /// Take backups on a schedule
    Run(RunCommand),
    /// Make a data directory from a backup
    Restore(RestoreCommand),
    /// Restore a backup into a temporary directory, boot it on loopback and compare
    Drill(DrillCommand),
    /// Bring a cluster back that has lost its quorum for good
    ///
    /// Shows what it found, what would be lost and every step with the etcdctl lines it equals, asks, then does one
    /// step after the other with a check behind each. It keeps a journal in --work-dir: the same command goes on where
    /// an earlier run stopped, --undo takes back what was done. The survivor's data directory is only ever read.
    Recover(RecoverCommand),
    /// Print a completion script
    Completion(CompletionCommand),
    /// Write man pages and completion scripts into a folder
    #[command(hide = true)]
    Generate(GenerateCommand),
}

/// Starts logging as the command line says. Call once.
pub fn init_logs(line: &CommandLine) {
    let filter = EnvFilter::try_new(&line.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match line.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// Runs the command.
pub async fn execute(line: CommandLine) -> Result<()> {
    let output = line.output;
    match line.command {
        Command::Backup(command) => command.run(output).await,
        Command::List(command) => command.run(output).await,
        Command::Check(command) => command.run(output).await,
        Command::Verify(command) => command.run(output).await,
        Command::Prune(command) => command.run(output).await,
        Command::Run(command) => command.run().await,
        Command::Restore(command) => command.run(output).await,
        Command::Drill(command) => command.run(output).await,
        Command::Recover(command) => command.run(output).await,
        Command::Completion(command) => command.run(),
        Command::Generate(command) => command.run(),
    }
}
