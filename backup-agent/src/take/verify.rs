//! Verifies a snapshot file: digest, structure of every page, and what it holds: revision, keys, hashes, versions.
//!
//! The whole file is read twice, row by row; memory grows with the number of live keys (16 bytes and a revision each),
//! not with their size.

use std::path::{Path, PathBuf};

use quorate_etcd_files::bbolt::{Bucket, Database};
use quorate_etcd_files::hash::{KvHasher, NewestRevisions, StatusHasher};
use quorate_etcd_files::rows::{Revision, RevisionKey, bucket, meta};

use crate::error::{AgentError, Result};
use crate::file_hash::hash_prefix_blocking;
use crate::manifest::SnapshotFacts;

/// Length of the digest at the end of a snapshot file.
const DIGEST_BYTES: u64 = 32;
/// What a database file's length is a multiple of.
const SECTOR_BYTES: u64 = 512;
/// Compact revision of a store that was never compacted, as HashKV answers it.
const NEVER_COMPACTED: i64 = -1;
/// Revision of a store that was never written to, as etcd counts.
const FIRST_REVISION: i64 = 1;

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
    /// Size and SHA-256 of the whole file.
    pub file: (u64, String),
}

/// Reads and checks a snapshot file, on a blocking thread.
///
/// # Errors
/// [`AgentError::Integrity`] for a missing or wrong digest, a damaged page, a row that is none.
pub async fn inspect(path: &Path) -> Result<SnapshotContent> {
    let path = path.to_owned();
    let inspected = tokio::task::spawn_blocking(move || inspect_blocking(&path));
    inspected.await.map_err(|_| AgentError::Cancelled)?
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
    let database = SnapshotFile::open(path)?.database;
    let keys = Rows::of(&database, bucket::KEY)?;
    hash_kv(&keys, content.revision, compact_revision)
}

/// A snapshot file whose digest is right.
struct SnapshotFile {
    database: Database,
    database_sha256: String,
    file: (u64, String),
}

impl SnapshotFile {
    fn open(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(AgentError::io("read", path))?.len();
        if size % SECTOR_BYTES != DIGEST_BYTES {
            return Err(AgentError::damaged(format!(
                "{} has {size} bytes and so no digest at its end: it was cut short, or is no snapshot",
                path.display()
            )));
        }
        let hashed = hash_prefix_blocking(path, size - DIGEST_BYTES)?;
        if hashed.prefix_sha256 != hashed.rest {
            return Err(AgentError::damaged(format!(
                "{} hashes to {}, the digest at its end is {}",
                path.display(),
                hashed.prefix_sha256,
                hashed.rest
            )));
        }
        let database = Database::open(path).map_err(|error| file_error(path, error))?;
        let file = (size, hashed.sha256);
        Ok(Self { database, database_sha256: hashed.prefix_sha256, file })
    }
}

/// Rows of one bucket; a bucket that is not there has none.
struct Rows {
    path: PathBuf,
    bucket: Option<Bucket>,
}

impl Rows {
    fn of(database: &Database, name: &str) -> Result<Self> {
        let path = database.path().to_owned();
        let bucket = database.bucket(name).map_err(|error| file_error(&path, error))?;
        Ok(Self { path, bucket })
    }

    fn each(&self, mut visit: impl FnMut(&[u8], &bytes::Bytes) -> bool) -> Result<()> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        for row in bucket.rows().map_err(|error| file_error(&self.path, error))? {
            let (key, value) = row.map_err(|error| file_error(&self.path, error))?;
            if !visit(&key, &value) {
                return Err(AgentError::damaged(format!(
                    "{} holds a row that is no revision: {key:02x?}",
                    self.path.display()
                )));
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>> {
        let Some(bucket) = &self.bucket else { return Ok(None) };
        bucket.get(key).map_err(|error| file_error(&self.path, error))
    }

    fn text(&self, key: &[u8]) -> Result<String> {
        let value = self.get(key)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    fn revision(&self, key: &[u8]) -> Result<Option<i64>> {
        let value = self.get(key)?;
        Ok(value.and_then(|value| Revision::decode(&value)).map(|revision| revision.main))
    }

    fn newest_revision(&self) -> Result<i64> {
        let Some(bucket) = &self.bucket else { return Ok(0) };
        let last = bucket.last().map_err(|error| file_error(&self.path, error))?;
        Ok(last.and_then(|(key, _)| RevisionKey::decode(&key)).map_or(0, |row| row.revision.main))
    }
}

fn inspect_blocking(path: &Path) -> Result<SnapshotContent> {
    let SnapshotFile { database, database_sha256, file } = SnapshotFile::open(path)?;
    let check = database.check().map_err(|error| file_error(path, error))?;
    if let Some(first) = check.findings.first() {
        return Err(AgentError::damaged(format!(
            "{}: {} errors in its pages, the first at offset {}: {}",
            path.display(),
            check.count,
            first.offset,
            first.what
        )));
    }
    let (keys, metas) = (Rows::of(&database, bucket::KEY)?, Rows::of(&database, bucket::META)?);
    let finished = metas.revision(meta::FINISHED_COMPACT)?;
    let scheduled = metas.revision(meta::SCHEDULED_COMPACT)?;
    // etcd starts from the largest of the three: a compaction that was begun will be ended.
    let compact_revision = finished.max(scheduled).unwrap_or(NEVER_COMPACTED);
    let revision = keys.newest_revision()?.max(compact_revision).max(FIRST_REVISION);
    let mut newest = NewestRevisions::new(revision);
    keys.each(|key, value| newest.push(key, value))?;
    let cluster = Rows::of(&database, bucket::CLUSTER)?;
    Ok(SnapshotContent {
        revision,
        compact_revision,
        total_keys: newest.live_keys(),
        status_hash: status_hash(&database)?,
        hash_kv: hash_kv(&keys, revision, compact_revision)?,
        cluster_version: cluster.text(meta::CLUSTER_VERSION)?,
        storage_version: metas.text(meta::STORAGE_VERSION)?,
        database_sha256,
        file,
    })
}

fn status_hash(database: &Database) -> Result<u32> {
    let path = database.path();
    let mut hasher = StatusHasher::default();
    for (name, bucket) in database.buckets().map_err(|error| file_error(path, error))? {
        hasher.begin_bucket(&name);
        for row in bucket.rows().map_err(|error| file_error(path, error))? {
            let (key, value) = row.map_err(|error| file_error(path, error))?;
            hasher.push(&key, &value);
        }
    }
    Ok(hasher.finish())
}

fn hash_kv(keys: &Rows, revision: i64, compact_revision: i64) -> Result<u32> {
    let mut newest = NewestRevisions::new(revision);
    keys.each(|key, value| newest.push(key, value))?;
    let keep = newest.keep_set(compact_revision);
    let mut hasher = KvHasher::new(revision, compact_revision, keep);
    keys.each(|key, value| hasher.push(key, value))?;
    Ok(hasher.finish().hash)
}

/// Damage is damage of the backup; everything else is the disk's.
pub(crate) fn file_error(path: &Path, error: quorate_etcd_files::Error) -> AgentError {
    use quorate_etcd_files::Error;
    match error {
        Error::Io { action, path, source } => AgentError::Io { action, path, source },
        Error::Refused(what) => AgentError::refused(what, "Nothing was changed."),
        other => AgentError::damaged(if other.to_string().contains(&*path.to_string_lossy()) {
            other.to_string()
        } else {
            format!("{}: {other}", path.display())
        }),
    }
}
