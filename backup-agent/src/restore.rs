//! Restore: from a backup in the store, or a snapshot file, to a data directory that a member boots from.
//!
//! The directory is made by `etcd-files`; here is what surrounds it: download, verification before, comparison after,
//! and a fresh cluster token, so that no member of the old cluster can join the new one by accident.

use std::path::{Path, PathBuf};

use quorate_etcd_files::Error as FileError;
use quorate_etcd_files::datadir::{self, DataDir, InitialUrls, RestoreOptions};
use serde::Serialize;

use crate::durable::free_bytes;
use crate::error::{AgentError, Result};
use crate::take::{SnapshotContent, file_error, inspect_database};

/// What to restore into.
#[derive(Clone, Debug)]
pub struct Target {
    /// The data directory; absent or empty.
    pub data_dir: PathBuf,
    /// The log's directory where it is not `member/wal`; absent.
    pub wal_dir: Option<PathBuf>,
    /// Name of this member.
    pub name: String,
    /// All members the new cluster begins with, with their peer URLs.
    pub initial_cluster: InitialUrls,
    /// Seed of the ids.
    pub token: String,
    /// Peer URLs of this member.
    pub peer_urls: Vec<String>,
    /// Raise the revision by this much and mark everything before as compacted.
    pub bump_revision: Option<u64>,
}

/// What a restore made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredMember {
    /// Cluster id, hexadecimal.
    pub cluster_id: String,
    /// Member id, hexadecimal.
    pub member_id: String,
    /// Revision the member starts with.
    pub revision: i64,
    /// Live keys.
    pub total_keys: u64,
    /// HashKV of the data directory; equal to the snapshot's unless the revision was raised.
    pub hash_kv: u32,
}

/// The token a restore uses unless another is given: new for the cluster, and the same for every member that restores
/// the same snapshot.
pub fn token_for(snapshot_name: &str) -> String {
    format!("restore-{snapshot_name}")
}

/// Makes the data directory from a verified snapshot file and compares the two.
pub async fn restore(
    snapshot: &Path,
    content: &SnapshotContent,
    target: &Target,
) -> Result<RestoredMember> {
    check_room(snapshot, &target.data_dir)?;
    let data_dir = DataDir::new(&target.data_dir, target.wal_dir.as_deref());
    let mut peer_urls = target.peer_urls.clone();
    peer_urls.sort_unstable();
    let options = RestoreOptions {
        data_dir: data_dir.clone(),
        name: target.name.clone(),
        initial_cluster: target.initial_cluster.clone(),
        initial_cluster_token: target.token.clone(),
        peer_urls,
        skip_hash_check: false,
        bump_revision: target.bump_revision,
    };
    let file = snapshot.to_owned();
    let made = tokio::task::spawn_blocking(move || datadir::restore(&file, &options));
    let made = made.await.map_err(|_| AgentError::Cancelled)?.map_err(restore_error)?;
    let restored = inspect_database(&data_dir.database()).await?;
    compare(content, &restored, made.revision, target.bump_revision)?;
    Ok(RestoredMember {
        cluster_id: format!("{:x}", made.cluster_id),
        member_id: format!("{:x}", made.member_id),
        revision: made.revision,
        total_keys: content.total_keys,
        hash_kv: restored.hash_kv,
    })
}

/// The new directory must hold what the snapshot held, to the byte.
fn compare(
    snapshot: &SnapshotContent,
    restored: &SnapshotContent,
    revision: i64,
    bump: Option<u64>,
) -> Result<()> {
    let differs = |what: &str, ours: i64, theirs: i64| {
        Err(AgentError::Integrity {
            what: format!("restored data has {what} {ours}, the snapshot {theirs}"),
            hint: "Do not start a member from it; report this.".into(),
        })
    };
    if bump.is_some() {
        if restored.revision != revision {
            return differs("revision", restored.revision, revision);
        }
        return Ok(());
    }
    if restored.revision != snapshot.revision {
        return differs("revision", restored.revision, snapshot.revision);
    }
    if restored.hash_kv != snapshot.hash_kv {
        return differs("HashKV", restored.hash_kv.into(), snapshot.hash_kv.into());
    }
    Ok(())
}

fn check_room(snapshot: &Path, data_dir: &Path) -> Result<()> {
    /// The first log segment is preallocated (64 MB).
    const LOG_BYTES: u64 = 64_000_000;
    let size = std::fs::metadata(snapshot).map_err(AgentError::io("read", snapshot))?.len();
    let existing = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let (free, needed) = (free_bytes(existing)?, size + LOG_BYTES);
    if free >= needed {
        return Ok(());
    }
    Err(AgentError::refused(
        format!("{} has {free} bytes free, the restore needs {needed}", existing.display()),
        "Free space there, or restore into another directory.",
    ))
}

fn restore_error(error: FileError) -> AgentError {
    match error {
        FileError::Refused(what) => AgentError::refused(
            what,
            "Nothing was written. The data directory must be absent or empty, and --name must be in \
             --initial-cluster with the same peer URLs.",
        ),
        other => file_error(other),
    }
}
