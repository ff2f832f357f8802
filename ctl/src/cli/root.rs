//! The lists of commands, in etcdctl's order (suggestions follow it), and of those that a link named `etcdutl` gives.
//! Each command's own file has its arguments.

use super::Global;
use crate::command as c;
use clap::{Parser, Subcommand};

/// Talks to an etcd or Quorate cluster: the scriptable twin of etcdctl
#[derive(Parser, Debug)]
#[command(
    after_help = "The options of every command are listed by the command `options`. Each may also come\n\
from the environment: QUORATECTL_<OPTION> or ETCDCTL_<OPTION>.\n\
Exit codes: 0 done, 1 error, 2 no connection, 3 input not understood, 4 a value not supported,\n\
5 interrupted, 6 input or output failed, 128 wrong arguments."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// One command.
#[derive(Subcommand, Debug)]
pub enum Command {
    Get(c::get::Args),
    Put(c::put::Args),
    Del(c::del::Args),
    Txn(c::txn::Args),
    Compaction(c::compaction::Args),
    Alarm(c::alarm::Args),
    Defrag(c::defrag::Args),
    Endpoint(c::endpoint::Args),
    MoveLeader(c::move_leader::Args),
    Watch(c::watch::Args),
    Version(c::version::Args),
    Lease(c::lease::Args),
    Member(c::member::Args),
    Snapshot(c::snapshot::Args),
    MakeMirror(c::make_mirror::Args),
    Lock(c::lock::Args),
    Elect(c::elect::Args),
    Auth(c::auth::Args),
    User(c::user::Args),
    Role(c::role::Args),
    Check(c::check::Args),
    Completion(c::completion::Args),
    Downgrade(c::downgrade::Args),
    Options(c::options::Args),
    /// Shows the HashKV of a snapshot file, or of a stopped member's data directory
    Hashkv(c::snapshot_file::HashArgs),
    /// Changes the schema of a stopped etcd member's database, so that another release opens it
    Migrate(c::data_dir::MigrateArgs),
    #[command(hide = true)]
    Generate(c::generate::Args),
}

/// Works on files of stopped members and on snapshots, without a cluster: the twin of etcdutl
#[derive(Parser, Debug)]
pub struct Utl {
    /// Output format: simple, json, fields or table
    #[arg(short, long, global = true, default_value = "simple")]
    pub write_out: String,
    /// How long to wait for whoever has a file open; 0 waits for ever
    #[arg(long, global = true, default_value = "10s", value_parser = super::duration)]
    pub timeout: std::time::Duration,
    #[command(subcommand)]
    pub command: UtlCommand,
}

/// One command of etcdutl.
#[derive(Subcommand, Debug)]
pub enum UtlCommand {
    /// Shows and restores snapshots
    Snapshot {
        #[command(subcommand)]
        action: c::snapshot_file::Action,
    },
    /// Shows the HashKV of a snapshot file, or of a stopped member's data directory
    Hashkv(c::snapshot_file::HashArgs),
    /// Writes the database of a stopped member anew, so that it takes no more space than it needs
    Defrag(c::data_dir::DefragArgs),
    /// Changes the schema of a stopped etcd member's database, so that another release opens it
    Migrate(c::data_dir::MigrateArgs),
    Version(c::version::Args),
    Completion(c::completion::Args),
}
