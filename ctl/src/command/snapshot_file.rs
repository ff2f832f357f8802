//! What is done with snapshot files without a member: `snapshot status`, `snapshot restore`, `hashkv`. The formats are
//! `quorate-etcd-files`'; here are only the arguments and the words.

use super::key::text;
use crate::failure::{Failure, Outcome, exit};
use crate::print::{Answer, Printer};
use crate::terminal::log;
use quorate_etcd_files::datadir::{DataDir, InitialCluster, RestoreOptions, parse_urls, restore};
use quorate_etcd_files::snapfile::SnapshotFile;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// An action on a snapshot file.
#[derive(clap::Subcommand, Debug)]
pub enum Action {
    /// Shows hash, revision, keys and size of a snapshot file, after a check of its structure
    Status {
        #[arg(value_name = "FILE")]
        file: Vec<OsString>,
    },
    /// Makes a data directory from a snapshot file, for a member of a new cluster
    Restore(RestoreArgs),
}

/// The arguments of `snapshot restore`.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    #[arg(value_name = "FILE")]
    file: Vec<OsString>,
    /// Directory to make; NAME.etcd if not given
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Directory of the write-ahead log, if it is to be elsewhere
    #[arg(long)]
    wal_dir: Option<PathBuf>,
    /// Name of this member
    #[arg(long, default_value = "default")]
    name: String,
    /// All members of the new cluster: NAME=URL,…
    #[arg(long, default_value = "default=http://localhost:2380")]
    initial_cluster: String,
    /// Seed of the ids; give every new cluster its own
    #[arg(long, default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// Peer URLs of this member
    #[arg(long, default_value = "http://localhost:2380")]
    initial_advertise_peer_urls: String,
    /// Accept a file without the hash at its end, such as a copied database
    #[arg(long)]
    skip_hash_check: bool,
    /// Taken and ignored: nothing is mapped into memory
    #[arg(long, default_value = "0", value_parser = crate::cli::unsigned)]
    initial_memory_map_size: u64,
    /// Raise the revision by this much, so that clients with newer knowledge notice
    #[arg(long, default_value = "0", value_parser = crate::cli::unsigned)]
    bump_revision: u64,
    /// Mark everything before the raised revision as compacted; goes with --bump-revision
    #[arg(long)]
    mark_compacted: bool,
}

/// The arguments of `hashkv`.
#[derive(clap::Args, Debug)]
pub struct HashArgs {
    #[arg(value_name = "FILE")]
    file: Vec<OsString>,
    /// Hash at this revision; 0 for the newest
    #[arg(long, default_value = "0", value_parser = crate::cli::int)]
    rev: i64,
}

/// Runs an action.
pub fn run(action: Action, printer: &Printer) -> Outcome {
    match action {
        Action::Status { file } => {
            let [file] = file.as_slice() else {
                return Err(Failure::bad_args("snapshot status requires exactly one argument"));
            };
            let file = open(Path::new(file))?;
            printer.print(&Answer::SnapshotStatus(file.status().map_err(failed)?))
        }
        Action::Restore(args) => run_restore(args),
    }
}

/// Shows HashKV of a snapshot or database file: the number that `endpoint hashkv` shows of a member.
pub fn run_hash(args: HashArgs, printer: &Printer) -> Outcome {
    let [file] = args.file.as_slice() else {
        let text = format!("accepts 1 arg(s), received {}", args.file.len());
        return Err(Failure::new(exit::ERROR, text));
    };
    let hash = open(Path::new(file))?.hash_kv(args.rev).map_err(failed)?;
    printer.print(&Answer::FileHash(hash))
}

fn run_restore(args: RestoreArgs) -> Outcome {
    let [file] = args.file.as_slice() else {
        return Err(Failure::bad_args("snapshot restore requires exactly one argument"));
    };
    if (args.bump_revision > 0) != args.mark_compacted {
        return Err(Failure::bad_args("--mark-compacted required if --revision-bump > 0"));
    }
    let data_dir = args.data_dir.unwrap_or_else(|| PathBuf::from(format!("{}.etcd", args.name)));
    let options = RestoreOptions {
        data_dir: DataDir::new(&data_dir, args.wal_dir.as_deref()),
        initial_cluster: InitialCluster::parse(&args.initial_cluster).map_err(failed)?,
        initial_cluster_token: args.initial_cluster_token,
        peer_urls: parse_urls(&args.initial_advertise_peer_urls).map_err(failed)?,
        skip_hash_check: args.skip_hash_check,
        bump_revision: (args.bump_revision > 0).then_some(args.bump_revision),
        name: args.name,
    };
    let shown = data_dir.display().to_string();
    log("info", "restoring snapshot", &[("path", &text(file)), ("data-dir", &shown)]);
    let restored = restore(Path::new(file), &options).map_err(failed)?;
    let fields = [
        ("data-dir", shown.as_str()),
        ("member-id", &format!("{:x}", restored.member_id)),
        ("cluster-id", &format!("{:x}", restored.cluster_id)),
        ("revision", &restored.revision.to_string()),
    ];
    log("info", "restored snapshot", &fields);
    Ok(())
}

fn open(path: &Path) -> Outcome<SnapshotFile> {
    SnapshotFile::open(path).map_err(|error| match error {
        error if error.is_not_found() => {
            let text = format!("stat {}: no such file or directory", path.display());
            Failure::new(exit::ERROR, text)
        }
        error => failed(error),
    })
}

/// The error's own words, and what to do about it.
fn failed(error: quorate_etcd_files::Error) -> Failure {
    let text = match error.hint() {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    };
    Failure::new(exit::ERROR, text)
}
