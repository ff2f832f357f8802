//! Verifies a snapshot file: digest, structure of every page, and what it holds: revision, keys, hashes, versions.
//!
//! The whole file is read twice, row by row; memory grows with the number of live keys (16 bytes and a revision each),
//! not with their size.

use std::path::Path;

use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::hash::{KvHasher, NewestRevisions};
use quorate_etcd_files::rows::{bucket, meta};
use quorate_etcd_files::snapfile::{self, SnapshotFile};
use quorate_etcd_files::{Error as FileError, Result as FileResult};

use crate::error::{AgentError, Result};
use crate::manifest::{SnapshotFacts, hex};

/// What a verified snapshot file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotContent {
    /// Newest revision.
    pub revision: i64,
    /// Compact revision, -1 for a store never compacted.
    pub compact_revision: i64,
    /// Live keys.
    pub total_keys: u64,
    /// The hash `etcdutl snapshot status` prints.
    pub status_hash: u32,
    /// HashKV at `revision`.
    pub hash_kv: u32,
    /// Cluster version, empty where not set.
    pub cluster_version: String,
    /// Storage version, empty before 3.6.
    pub storage_version: String,
    /// SHA-256 of the database, equal to the digest at the end.
    pub database_sha256: String,
}

/// Reads and checks a snapshot file, on a blocking thread.
///
/// # Errors
/// [`AgentError::Integrity`] for a missing or wrong digest, a damaged page, a row that is none.
pub async fn inspect(path: &Path) -> Result<SnapshotContent> {
    let path = path.to_owned();
    let inspected = tokio::task::spawn_blocking(move || inspect_blocking(&path));
    inspected.await.map_err(|_| AgentError::Cancelled)?.map_err(file_error)
}

/// Inspects a file and compares it with what the manifest says it holds.
pub async fn verify_against(path: &Path, expected: &SnapshotFacts) -> Result<SnapshotContent> {
    let content = inspect(path).await?;
    let pairs = [
        ("revision", content.revision, expected.revision),
        ("compact revision", content.compact_revision, expected.compact_revision),
        ("hash", content.status_hash.into(), expected.status_hash.into()),
        ("HashKV", content.hash_kv.into(), expected.hash_kv.into()),
    ];
    for (what, found, wanted) in pairs {
        if found != wanted {
            return Err(AgentError::damaged(format!(
                "the snapshot has {what} {found}, its manifest says {wanted}"
            )));
        }
    }
    Ok(content)
}

/// HashKV of a verified file at its revision, as it would be after a compaction at `compact_revision`.
pub fn hash_after_compaction(
    path: &Path,
    content: &SnapshotContent,
    compact_revision: i64,
) -> Result<u32> {
    hash_compacted(path, content.revision, compact_revision).map_err(file_error)
}

fn hash_compacted(path: &Path, revision: i64, compact_revision: i64) -> FileResult<u32> {
    let database = SnapshotFile::open(path)?.database()?;
    let Some(keys) = database.bucket(bucket::KEY)? else { return Ok(0) };
    let not_a_row = || FileError::unsupported(path, "a row of bucket key is no revision");
    let mut newest = NewestRevisions::new(revision);
    for row in keys.rows()? {
        let (key, value) = row?;
        newest.push(&key, &value).then_some(()).ok_or_else(not_a_row)?;
    }
    let mut hasher = KvHasher::new(revision, compact_revision, newest.keep_set(compact_revision));
    for row in keys.rows()? {
        let (key, value) = row?;
        hasher.push(&key, &value).then_some(()).ok_or_else(not_a_row)?;
    }
    Ok(hasher.finish().hash)
}

/// Facts of a database on disk that has no digest: that of a restored data directory.
pub async fn inspect_database(path: &Path) -> Result<SnapshotContent> {
    let path = path.to_owned();
    let inspected = tokio::task::spawn_blocking(move || {
        let file = SnapshotFile::open(&path)?;
        file.check()?;
        read_content(&file.database()?, String::new())
    });
    inspected.await.map_err(|_| AgentError::Cancelled)?.map_err(file_error)
}

fn inspect_blocking(path: &Path) -> FileResult<SnapshotContent> {
    let file = SnapshotFile::open(path)?;
    file.verify_digest()?;
    file.check()?;
    let digest = file.digest().map(|digest| hex(&digest)).unwrap_or_default();
    read_content(&file.database()?, digest)
}

fn read_content(database: &Database, database_sha256: String) -> FileResult<SnapshotContent> {
    let status = snapfile::status(database)?;
    let kv = snapfile::hash_kv(database, 0)?;
    Ok(SnapshotContent {
        revision: kv.hash_revision,
        compact_revision: kv.compact_revision,
        total_keys: status.live_keys,
        status_hash: status.hash,
        hash_kv: kv.hash,
        cluster_version: cluster_version(database)?,
        storage_version: status.version,
        database_sha256,
    })
}

fn cluster_version(database: &Database) -> FileResult<String> {
    let Some(cluster) = database.bucket(bucket::CLUSTER)? else { return Ok(String::new()) };
    let version = cluster.get(meta::CLUSTER_VERSION)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&version).into_owned())
}

/// Damage is damage of the backup; everything else is the disk's.
pub(crate) fn file_error(error: FileError) -> AgentError {
    match error {
        FileError::Io { action, path, source } => AgentError::Io { action, path, source },
        other => AgentError::damaged(other.to_string()),
    }
}
