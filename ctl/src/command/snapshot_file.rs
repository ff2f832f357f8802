//! What is done with snapshot files without a member: `snapshot status`, `snapshot restore`, `snapshot export`,
//! `hashkv`. The formats are `quorate-etcd-files`'s; here are only the arguments and the words.

use super::key::text;
use crate::failure::{Failure, Outcome, exit};
use crate::print::{Answer, Printer};
use crate::progress::Watched;
use crate::stopped::{Stopped, files_failure};
use crate::terminal::log;
use quorate_etcd_files::datadir::{
    Access, Claim, DataDir, InitialCluster, Release, RestoreOptions, TailPolicy, UNFINISHED,
    parse_urls, restore, restore_for,
};
use quorate_etcd_files::snapfile::SnapshotFile;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What every command on files gets.
pub struct Files {
    /// Prints in the chosen format.
    pub printer: Printer,
    /// How long to wait for whoever has a file open; `None` means for ever.
    pub patience: Option<Duration>,
}

/// An action on a snapshot file.
#[derive(clap::Subcommand, Debug)]
pub enum Action {
    /// Shows hash, revision, keys and size of a snapshot file, after a check of its structure
    ///
    /// A data directory of a stopped member, of etcd or of Quorate, is taken too.
    Status {
        #[arg(value_name = "FILE")]
        file: Vec<OsString>,
    },
    /// Saves the state of a stopped member as a snapshot file, its log included
    ///
    /// Takes data directories of etcd 3.4 to 3.7 and of Quorate, which are only read.
    Export(ExportArgs),
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
    /// Make a directory for an older etcd, from 3.4 on: what that release does not know is left out
    #[arg(long, value_name = "RELEASE")]
    for_etcd: Option<Release>,
}

/// The arguments of `snapshot export`.
#[derive(clap::Args, Debug)]
pub struct ExportArgs {
    #[arg(value_name = "DATA_DIR")]
    data_dir: PathBuf,
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Directory of the write-ahead log, if it is elsewhere
    #[arg(long)]
    wal_dir: Option<PathBuf>,
    /// Take entries of the log too of which it is not known whether they were committed. For the only survivor
    #[arg(long)]
    with_tail: bool,
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
pub fn run(action: Action, files: &Files) -> Outcome {
    match action {
        Action::Status { file } => {
            let [file] = file.as_slice() else {
                return Err(Failure::bad_args("snapshot status requires exactly one argument"));
            };
            let opened = Opened::open(Path::new(file), files)?;
            let status = opened.file.status().map_err(files_failure)?;
            files.printer.print(&Answer::SnapshotStatus(status))
        }
        Action::Restore(args) => run_restore(args),
        Action::Export(args) => run_export(&args, files),
    }
}

/// Shows HashKV of a snapshot or database file: the number that `endpoint hashkv` shows of a member.
pub fn run_hash(args: HashArgs, files: &Files) -> Outcome {
    let [file] = args.file.as_slice() else {
        let text = format!("accepts 1 arg(s), received {}", args.file.len());
        return Err(Failure::new(exit::ERROR, text));
    };
    let opened = Opened::open(Path::new(file), files)?;
    let hash = opened.file.hash_kv(args.rev).map_err(files_failure)?;
    files.printer.print(&Answer::FileHash(hash))
}

fn run_export(args: &ExportArgs, files: &Files) -> Outcome {
    let stopped = Stopped::new(&args.data_dir, args.wal_dir.as_deref(), files.patience);
    let policy = if args.with_tail { TailPolicy::KeepTail } else { TailPolicy::CommittedOnly };
    let exported = stopped.export(policy, &args.file)?;
    let rescued = &exported.rescued;
    if exported.tail > 0 && !args.with_tail {
        let count = exported.tail.to_string();
        let text = "entries left out: not known to be committed; --with-tail takes them";
        log("warn", text, &[("entries", &count)]);
    }
    let path = args.file.display().to_string();
    files.printer.print(&Answer::Plain {
        lines: vec![format!("Snapshot saved at {path}"), format!("Revision {}", rescued.revision)],
        fields: vec![
            ("path", path.into()),
            ("size", rescued.size.into()),
            ("revision", rescued.revision.into()),
            ("entriesFromLog", rescued.entries.into()),
            ("tailEntries", exported.tail.into()),
            ("tailTaken", args.with_tail.into()),
        ],
    })
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
        initial_cluster: InitialCluster::parse(&args.initial_cluster).map_err(files_failure)?,
        initial_cluster_token: args.initial_cluster_token,
        peer_urls: parse_urls(&args.initial_advertise_peer_urls).map_err(files_failure)?,
        skip_hash_check: args.skip_hash_check,
        bump_revision: (args.bump_revision > 0).then_some(args.bump_revision),
        name: args.name,
    };
    let shown = data_dir.display().to_string();
    log("info", "restoring snapshot", &[("path", &text(file)), ("data-dir", &shown)]);
    let size = match std::fs::metadata(Path::new(file)) {
        Ok(metadata) => metadata.len(),
        Err(error) => {
            let text = format!("open {}: {}", text(file), crate::go::io_text(&error));
            return Err(Failure::new(exit::ERROR, text));
        }
    };
    // The restore builds its database here, at most as large as the one it reads.
    let growing = data_dir.join(UNFINISHED).join("snap").join("db");
    let watched = Watched::file("restoring", growing, size);
    let restored = match args.for_etcd {
        Some(release) => restore_for(Path::new(file), &options, release),
        None => restore(Path::new(file), &options),
    };
    let restored = restored.map_err(files_failure);
    drop(watched);
    let restored = restored?;
    let fields = [
        ("data-dir", shown.as_str()),
        ("member-id", &format!("{:x}", restored.member_id)),
        ("cluster-id", &format!("{:x}", restored.cluster_id)),
        ("revision", &restored.revision.to_string()),
    ];
    log("info", "restored snapshot", &fields);
    Ok(())
}

/// A snapshot or database file, kept from being written to while it is open; of a data directory, an export of it.
struct Opened {
    file: SnapshotFile,
    _claim: Claim,
    _export: Option<tempfile::TempDir>,
}

impl Opened {
    fn open(path: &Path, files: &Files) -> Outcome<Opened> {
        if path.is_dir() {
            let folder = tempfile::Builder::new().prefix("quorate-export-").tempdir();
            let folder = folder.map_err(|error| Failure::new(exit::IO, error.to_string()))?;
            let export = folder.path().join("state.db");
            let stopped = Stopped::new(path, None, files.patience);
            stopped.export(TailPolicy::CommittedOnly, &export)?;
            let opened = Opened::open_file(&export, files.patience)?;
            return Ok(Opened { _export: Some(folder), ..opened });
        }
        Opened::open_file(path, files.patience)
    }

    fn open_file(path: &Path, patience: Option<Duration>) -> Outcome<Opened> {
        let failed = |error: quorate_etcd_files::Error| match error {
            error if error.is_not_found() => {
                let text = format!("stat {}: no such file or directory", path.display());
                Failure::new(exit::ERROR, text)
            }
            error => files_failure(error),
        };
        let claim = Claim::take(path, Access::Shared, patience).map_err(failed)?;
        let file = SnapshotFile::open(path).map_err(failed)?;
        Ok(Opened { file, _claim: claim, _export: None })
    }
}
