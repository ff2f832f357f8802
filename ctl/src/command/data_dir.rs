//! What is done with the data directory of a stopped member: `defrag --data-dir`, `migrate`.

use super::snapshot_file::Files;
use crate::failure::{Failure, Outcome, exit};
use crate::stopped::{Owner, Stopped};
use crate::terminal::log;
use quorate_etcd_files::datadir::{Migrated, Schema, migrate};
use std::path::PathBuf;

/// The arguments of etcdutl's `defrag`.
#[derive(clap::Args, Debug)]
pub struct DefragArgs {
    /// Required. The data directory of a stopped member, of etcd or of Quorate
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    #[arg(hide = true)]
    rest: Vec<std::ffi::OsString>,
}

/// The arguments of `migrate`.
#[derive(clap::Args, Debug)]
pub struct MigrateArgs {
    /// Required. The data directory of a stopped etcd member
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Required. The release that is to open the directory: X.Y, at least 3.5
    #[arg(long)]
    target_version: Option<String>,
    /// Overwrite the version where a migration is refused. Not recommended
    #[arg(long)]
    force: bool,
    #[arg(hide = true)]
    rest: Vec<std::ffi::OsString>,
}

/// Writes the database of a stopped member anew.
pub fn run_defrag(args: &DefragArgs, files: &Files) -> Outcome {
    let Some(data_dir) = &args.data_dir else { return Err(missing(&["data-dir"])) };
    let stopped = Stopped::new(data_dir, None, files.patience);
    let named = |failure: Failure| {
        failure.within(&format!("Failed to defragment etcd data[{}] (", data_dir.display()), ")")
    };
    refuse_absent(&stopped).map_err(named)?;
    let sizes = stopped.defragment().map_err(named)?;
    let fields = [
        ("data-dir", data_dir.display().to_string()),
        ("db-size-before-bytes", sizes.before.to_string()),
        ("db-size-bytes", sizes.after.to_string()),
    ];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    // etcd's words: scripts wait for them.
    log("info", "finished defragmenting directory", &fields);
    Ok(())
}

/// Changes the schema of a stopped etcd member's database.
pub fn run_migrate(args: &MigrateArgs, files: &Files) -> Outcome {
    let (data_dir, target) = match (&args.data_dir, &args.target_version) {
        (Some(data_dir), Some(target)) => (data_dir, target),
        (None, None) => return Err(missing(&["data-dir", "target-version"])),
        (None, _) => return Err(missing(&["data-dir"])),
        (_, None) => return Err(missing(&["target-version"])),
    };
    let target = target_schema(target)?;
    let stopped = Stopped::new(data_dir, None, files.patience);
    refuse_absent(&stopped)?;
    if let Owner::Quorate(_) = stopped.owner()? {
        let text = "this directory is Quorate's and needs no migration. To give its data to etcd, use snapshot export \
                    and snapshot restore.";
        return Err(Failure::new(exit::ERROR, text));
    }
    let migrated = migrate(stopped.data_dir(), target, args.force, files.patience)
        .map_err(crate::stopped::files_failure)?;
    let shown = target.to_string();
    match migrated {
        Migrated::UpToDate => {
            log("info", "storage version up-to-date", &[("storage-version", &shown)])
        }
        Migrated::Changed { from } => {
            let fields =
                [("from", from.to_string()), ("new-storage-version", format!("{shown}.0"))];
            let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
            log("info", "updated storage version", &fields);
        }
        Migrated::Forced { why } => {
            let fields = [("error", why.as_str()), ("storage-version", &shown)];
            log("warn", "forcefully set storage version", &fields);
        }
    }
    Ok(())
}

fn missing(flags: &[&str]) -> Failure {
    let names: Vec<String> = flags.iter().map(|flag| format!("\"{flag}\"")).collect();
    Failure::new(exit::ERROR, format!("required flag(s) {} not set", names.join(", ")))
}

/// Neither etcd's database nor Quorate's state is there.
fn refuse_absent(stopped: &Stopped) -> Outcome {
    let path = stopped.database();
    if path.exists() || matches!(stopped.owner()?, Owner::Quorate(_)) {
        return Ok(());
    }
    let text = format!("stat {}: no such file or directory", path.display());
    Err(Failure::new(exit::ERROR, text))
}

/// Reads `X.Y`; the errors are etcdutl's.
fn target_schema(text: &str) -> Outcome<Schema> {
    if text.matches('.').count() != 1 {
        let quoted = crate::go::quote(text.as_bytes());
        let text = format!("wrong target version format, expected \"X.Y\", got {quoted}");
        return Err(Failure::bad_args(text));
    }
    let unparsed =
        |why: String| Failure::bad_args(format!("failed to parse target version: {why}"));
    if text.contains(['-', '+']) {
        let number = text.split(['-', '+']).next().unwrap_or_default();
        return Err(unparsed(format!("{number} is not in dotted-tri format")));
    }
    let number = |part: &str| crate::go::parse_int(part, 10).map_err(unparsed);
    let (major, minor) = text.split_once('.').unwrap_or_default();
    let schema = Schema { major: number(major)?, minor: number(minor)? };
    if schema < (Schema { major: 3, minor: 5 }) {
        let text = format!("target version \"{schema}\" not supported. Minimal \"3.5\"");
        return Err(Failure::bad_args(text));
    }
    Ok(schema)
}
