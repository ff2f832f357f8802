//! Snapshot files as operators save them: a bbolt image with a SHA-256 behind it. Opening, verifying, status, HashKV.
//!
//! Source: `reference/file-formats.md` sections 1, 3 and 4. Writing one is `bbolt::ImageWriter` and the digest; making
//! a data directory of one is [`crate::datadir`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::bbolt::{Bucket, Check, Database};
use crate::disk::{Disk, File, OsDisk};
use crate::error::{Error, Result};
use crate::hash::{KeepSet, KvHash, KvHasher, NewestRevisions, StatusHasher};
use crate::rows::{self, Revision, RevisionKey, bucket, meta};

/// Bytes of the digest behind the image.
pub const DIGEST_BYTES: u64 = 32;
/// An image is a whole number of these; what is over is the digest.
const SECTOR: u64 = 512;
/// Bytes hashed at a time.
const CHUNK: u64 = 1 << 20;

/// An open snapshot file, or a database file (which has no digest).
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    file: Arc<dyn File>,
    image_bytes: u64,
    digest: Option<[u8; 32]>,
}

/// What `snapshot status` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// CRC-32C over everything in the file; differs between members.
    pub hash: u32,
    /// Newest main revision, 0 where there is no key.
    pub revision: i64,
    /// Keys that live at that revision; what etcd 3.6 and newer show.
    pub live_keys: u64,
    /// Rows in all buckets; what etcd up to 3.5 shows.
    pub rows: u64,
    /// Bytes of the database.
    pub size: u64,
    /// Storage version, empty for a file of a server before 3.6.
    pub version: String,
}

impl SnapshotFile {
    /// Opens the file and looks for a digest; verifies nothing yet.
    pub fn open(path: &Path) -> Result<SnapshotFile> {
        let file = OsDisk.open_read(path).map_err(Error::io("open", path))?;
        SnapshotFile::from_file(file, path)
    }

    /// The same for an open file; `path` is for messages.
    pub fn from_file(file: Arc<dyn File>, path: &Path) -> Result<SnapshotFile> {
        let length = file.len().map_err(Error::io("measure", path))?;
        let mut digest = None;
        if length % SECTOR == DIGEST_BYTES {
            let mut bytes = [0; 32];
            file.read_exact_at(&mut bytes, length - DIGEST_BYTES)
                .map_err(Error::io("read", path))?;
            digest = Some(bytes);
        }
        let image_bytes = length - digest.map_or(0, |_| DIGEST_BYTES);
        Ok(SnapshotFile { path: path.to_owned(), file, image_bytes, digest })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the image without the digest.
    pub fn image_bytes(&self) -> u64 {
        self.image_bytes
    }

    /// The digest that the file ends with.
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// The database in it.
    pub fn database(&self) -> Result<Database> {
        Database::from_file(self.file.clone(), &self.path, self.image_bytes)
    }

    /// Hashes the image and compares with the digest. Fails, with etcd's words and the place, where it differs or is
    /// missing.
    pub fn verify_digest(&self) -> Result<()> {
        let (path, offset) = (self.path.clone(), self.image_bytes);
        let Some(expected) = self.digest else {
            return Err(Error::NoDigest { path, offset });
        };
        let found = self.hash_image()?;
        if found != expected {
            return Err(Error::WrongDigest { path, offset, expected, found });
        }
        Ok(())
    }

    fn hash_image(&self) -> Result<[u8; 32]> {
        let mut digest = Sha256::new();
        let mut chunk = Vec::new();
        let mut at = 0;
        while at < self.image_bytes {
            chunk.resize((self.image_bytes - at).min(CHUNK) as usize, 0);
            self.file.read_exact_at(&mut chunk, at).map_err(Error::io("read", &self.path))?;
            digest.update(&chunk);
            at += chunk.len() as u64;
        }
        Ok(digest.finalize().into())
    }

    /// Checks the structure of the database; fails in etcd's words with the findings behind them.
    pub fn check(&self) -> Result<()> {
        let Check { findings, count } = self.database()?.check()?;
        if count == 0 {
            return Ok(());
        }
        let lines = findings.iter().map(|f| format!("offset {}: {}", f.offset, f.what));
        let lines = lines.collect::<Vec<_>>().join("\n");
        let text = format!("snapshot file integrity check failed. {count} errors found.\n{lines}");
        Err(Error::Refused(text))
    }

    /// Checks the structure, then reads everything for the status.
    pub fn status(&self) -> Result<Status> {
        self.check()?;
        status(&self.database()?)
    }

    /// HashKV of the state in the file at `revision`, 0 for its newest.
    pub fn hash_kv(&self, revision: i64) -> Result<KvHash> {
        hash_kv(&self.database()?, revision)
    }
}

/// [`SnapshotFile::status`] of any database, without the check.
pub fn status(database: &Database) -> Result<Status> {
    let mut hash = StatusHasher::default();
    let mut newest = NewestRevisions::new(i64::MAX);
    let (mut rows, mut revision, mut version) = (0, 0, String::new());
    for (name, bucket) in database.buckets()? {
        hash.begin_bucket(&name);
        let is_key = name == bucket::KEY.as_bytes();
        let is_meta = name == bucket::META.as_bytes();
        for row in bucket.rows()? {
            let (key, value) = row?;
            hash.push(&key, &value);
            rows += 1;
            if is_key {
                revision = judge(database, &key, &value)?.main;
                if !newest.push(&key, &value) {
                    return Err(damaged(database, &key, NO_PAIR));
                }
            } else if is_meta && key == meta::STORAGE_VERSION {
                version = String::from_utf8_lossy(&value).into_owned();
            }
        }
    }
    let live_keys = newest.live_keys();
    let size = database.size();
    Ok(Status { hash: hash.finish(), revision, live_keys, rows, size, version })
}

/// HashKV of a database at `revision`, 0 for its newest. Fails in etcd's words for a revision that is compacted or
/// not yet there.
pub fn hash_kv(database: &Database, revision: i64) -> Result<KvHash> {
    let Some(keys) = database.bucket(bucket::KEY)? else {
        return Err(Error::unsupported(database.path(), "a database without the bucket key"));
    };
    // A compaction that was begun is in force: a server would go on with it, and hash accordingly.
    let begun = mark(database, meta::SCHEDULED_COMPACT)?.map_or(-1, |revision| revision.main);
    let compact = compact_revision(database)?.max(begun);
    let current = current_revision(database)?;
    let refuse = |text: &str| Err(Error::Refused(text.to_owned()));
    match revision {
        0 => {}
        revision if revision < compact => {
            return refuse("mvcc: required revision has been compacted");
        }
        revision if revision > current => {
            return refuse("mvcc: required revision is a future revision");
        }
        _ => {}
    }
    let revision = if revision == 0 { current } else { revision };
    let keep = keep_set(database, &keys, revision, compact)?;
    let mut hasher = KvHasher::new(revision, compact, keep);
    for row in keys.rows()? {
        let (key, value) = row?;
        judge(database, &key, &value)?;
        if !hasher.push(&key, &value) {
            return Err(damaged(database, &key, NO_PAIR));
        }
    }
    Ok(hasher.finish())
}

fn keep_set(database: &Database, keys: &Bucket, at: i64, compact: i64) -> Result<KeepSet> {
    let mut newest = NewestRevisions::new(at);
    if compact < 0 {
        return Ok(KeepSet::default());
    }
    for row in keys.rows()? {
        let (key, value) = row?;
        if !newest.push(&key, &value) {
            return Err(damaged(database, &key, NO_PAIR));
        }
    }
    Ok(newest.keep_set(compact))
}

/// Revision up to which the database was compacted, -1 for never.
pub fn compact_revision(database: &Database) -> Result<i64> {
    Ok(mark(database, meta::FINISHED_COMPACT)?.map_or(-1, |revision| revision.main))
}

/// Newest revision as a server would see it at start: of the last row, and not below the compaction marks.
pub fn current_revision(database: &Database) -> Result<i64> {
    let last = match database.bucket(bucket::KEY)? {
        Some(keys) => keys.last()?,
        None => None,
    };
    let last = match last {
        Some((key, value)) => judge(database, &key, &value)?.main,
        // etcd's first revision, of an empty store.
        None => 1,
    };
    let scheduled = mark(database, meta::SCHEDULED_COMPACT)?.map_or(0, |revision| revision.main);
    Ok(last.max(scheduled).max(compact_revision(database)?))
}

fn mark(database: &Database, key: &[u8]) -> Result<Option<Revision>> {
    let Some(marks) = database.bucket(bucket::META)? else { return Ok(None) };
    let Some(value) = marks.get(key)? else { return Ok(None) };
    match Revision::decode(&value) {
        Some(revision) => Ok(Some(revision)),
        None => {
            let what = format!("meta row {} is not a revision", String::from_utf8_lossy(key));
            Err(Error::unsupported(database.path(), what))
        }
    }
}

const NO_PAIR: &str = "it is not a revision with a key-value pair";

/// The revision of a row of bucket `key`, which a server must be able to read.
fn judge(database: &Database, key: &Bytes, value: &Bytes) -> Result<Revision> {
    rows::check(database.path(), bucket::KEY, key, value)?;
    let row = RevisionKey::decode(key);
    row.map(|row| row.revision).ok_or_else(|| damaged(database, key, NO_PAIR))
}

fn damaged(database: &Database, key: &Bytes, what: &'static str) -> Error {
    let (path, bucket) = (database.path().to_owned(), bucket::KEY.to_owned());
    Error::DamagedRow { path, bucket, key: key.to_vec(), what }
}
