//! `quorate-server restore FILE`: the flags of `etcdutl snapshot restore` in front of the code of `etcd-files`.

use super::error::{Context as _, Result, refuse};
use crate::config::RestoreArgs;
use quorate_etcd_files::datadir::{self, DataDir, InitialCluster, RestoreOptions};
use std::path::{Path, PathBuf};

/// Makes a data directory from a snapshot file.
///
/// # Errors
/// The flags contradict each other, the file is damaged, or the directory is not empty; then nothing is left behind.
pub fn restore(args: &RestoreArgs) -> Result<()> {
    if args.bump_revision > 0 && !args.mark_compacted {
        refuse!("--mark-compacted required if --revision-bump > 0");
    }
    let root = match &args.data_dir {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(format!("{}.etcd", args.name)),
    };
    let options = RestoreOptions {
        data_dir: DataDir::new(&root, args.wal_dir.as_deref().map(Path::new)),
        name: args.name.clone(),
        initial_cluster: InitialCluster::parse(&args.initial_cluster)
            .context("--initial-cluster")?,
        initial_cluster_token: args.token.clone(),
        peer_urls: datadir::parse_urls(&args.peer_urls).context("--initial-advertise-peer-urls")?,
        skip_hash_check: args.skip_hash_check,
        bump_revision: (args.bump_revision > 0).then_some(args.bump_revision),
    };
    let release = args.for_etcd.as_deref().map(str::parse).transpose().context("--for-etcd")?;
    let file = Path::new(&args.file);
    let restored = match release {
        Some(release) => datadir::restore_for(file, &options, release),
        None => datadir::restore(file, &options),
    };
    let restored = restored.with_context(|| format!("{} into {}", args.file, root.display()))?;
    println!(
        "restored member {:x} of cluster {:x} into {} at revision {}",
        restored.member_id,
        restored.cluster_id,
        root.display(),
        restored.revision
    );
    Ok(())
}
