//! Makes a member's data directory from a snapshot file: `etcdutl snapshot restore`, step by step
//! (`reference/file-formats.md`, section 7).
//!
//! The database is not copied but written anew from its rows, which costs the same, makes it as small as it can be,
//! and reads every row on the way. The directory appears whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quorate_proto::raftpb;

use super::bootstrap::{FIRST_TERM, create_log};
use super::initial_cluster::{InitialCluster, InitialUrls, check_local_member};
use super::layout::DataDir;
use super::release::Release;
use crate::bbolt::{BucketPlan, Changes, Database, RewritePlan, rewrite_judged};
use crate::disk::OsDisk;
use crate::error::{Error, Result};
use crate::rows::{self, Revision, RevisionKey, bucket, member_key, meta};
use crate::snap;
use crate::snapfile::SnapshotFile;
use crate::wal::{Options, SEGMENT_BYTES};

/// What to restore into.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Where to; the root must be absent or empty, a log directory of its own must be absent.
    pub data_dir: DataDir,
    /// Name of this member.
    pub name: String,
    /// All members of the new cluster.
    pub initial_cluster: InitialUrls,
    /// Seed of the ids; a fresh one keeps the old cluster's members out.
    pub initial_cluster_token: String,
    /// Peer URLs of this member, sorted; must be those in `initial_cluster`.
    pub peer_urls: Vec<String>,
    /// Accept a file without digest, such as a copied database.
    pub skip_hash_check: bool,
    /// Raise the revision by this much and mark everything before as compacted, so that no watch and no cache goes on
    /// as if nothing had happened.
    pub bump_revision: Option<u64>,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Id of this member.
    pub member_id: u64,
    /// Id of the new cluster.
    pub cluster_id: u64,
    /// Revision that the member will start with.
    pub revision: i64,
    /// Bytes of the new database.
    pub database_bytes: u64,
}

/// Restores a snapshot file. Every member of the new cluster restores the same file with the same cluster and token.
///
/// The directory is one for the release that wrote the snapshot, and for newer ones; [`restore_for`] makes one for an
/// older release.
pub fn restore(snapshot: &Path, options: &RestoreOptions) -> Result<Restored> {
    restore_with(snapshot, options, None)
}

/// [`restore`] for a given release of etcd: what an older one does not know is left out, and the cluster version is not
/// above it, which that release would refuse to start with.
pub fn restore_for(
    snapshot: &Path,
    options: &RestoreOptions,
    release: Release,
) -> Result<Restored> {
    restore_with(snapshot, options, Some(release))
}

fn restore_with(
    snapshot: &Path,
    options: &RestoreOptions,
    release: Option<Release>,
) -> Result<Restored> {
    check_local_member(&options.initial_cluster, &options.name, &options.peer_urls)?;
    let cluster = InitialCluster::new(&options.initial_cluster, &options.initial_cluster_token)?;
    let member_id = cluster
        .member_named(&options.name)
        .map(|member| member.id)
        .ok_or_else(|| Error::Refused(format!("no member is named {:?}", options.name)))?;
    check_target(&options.data_dir)?;
    let snapshot = SnapshotFile::open(snapshot)?;
    if !options.skip_hash_check {
        snapshot.verify_digest()?;
    }
    let database = snapshot.database()?;
    let target = Target::create(&options.data_dir)?;
    let result = plan(&cluster, &database, release)
        .and_then(|plan| target.fill(&database, &cluster, member_id, plan, options));
    if result.is_err() {
        target.discard();
    }
    result
}

fn check_target(data_dir: &DataDir) -> Result<()> {
    if !data_dir.is_empty() {
        let root = data_dir.root().display().to_string();
        return Err(Error::Refused(format!("data-dir {root:?} not empty or could not be read")));
    }
    let wal = data_dir.wal();
    if wal.exists() {
        return Err(Error::Refused(format!("wal-dir {:?} exists", wal.display().to_string())));
    }
    Ok(())
}

/// What a restore builds, below the data directory, before it takes the name `member`. Where it is found and no restore
/// runs, one was broken off.
pub const UNFINISHED: &str = "member.tmp";

/// A directory being built under a temporary name.
struct Target {
    data_dir: DataDir,
    building: PathBuf,
    made_root: bool,
}

impl Target {
    fn create(data_dir: &DataDir) -> Result<Target> {
        let building = data_dir.root().join(UNFINISHED);
        let made_root = !data_dir.root().exists();
        let snap = building.join("snap");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&snap)
            .map_err(Error::io("create", &snap))?;
        Ok(Target { data_dir: data_dir.clone(), building, made_root })
    }

    fn fill(
        &self,
        source: &Database,
        cluster: &InitialCluster,
        member_id: u64,
        mut plan: RewritePlan,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        let count = cluster.members.len() as u64;
        let latest = latest_revision(source)?;
        let mut revision = latest.main;
        if let Some(amount) = options.bump_revision {
            let bumped = i64::try_from(amount).ok().and_then(|n| latest.main.checked_add(n));
            revision = bumped.ok_or_else(|| {
                Error::Refused(format!("a revision of {} plus {amount} is too large", latest.main))
            })?;
            bump(&mut plan, revision);
        }
        let database_bytes = self.write_database(source, plan)?;
        self.write_snap(cluster, count)?;
        let inside = self.data_dir.wal_in_member().map(|below| self.building.join(below));
        let wal = inside.unwrap_or_else(|| self.data_dir.wal());
        if let Some(parent) = wal.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let log = Options { segment_bytes: SEGMENT_BYTES, prepare_ahead: false };
        create_log(Arc::new(OsDisk), &wal, cluster, member_id, true, log)?;
        self.publish()?;
        Ok(Restored { member_id, cluster_id: cluster.cluster_id, revision, database_bytes })
    }

    fn write_database(&self, source: &Database, plan: RewritePlan) -> Result<u64> {
        let path = self.building.join("snap").join("db");
        let file = create(&path)?;
        let judge =
            |bucket: &str, key: &[u8], value: &[u8]| rows::check(source.path(), bucket, key, value);
        let layout = rewrite_judged(source, plan, &file, &path, judge)?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        Ok(layout.size())
    }

    fn write_snap(&self, cluster: &InitialCluster, index: u64) -> Result<()> {
        let metadata = raftpb::SnapshotMetadata {
            conf_state: Some(cluster.conf_state()),
            index: Some(index),
            term: Some(FIRST_TERM),
        };
        let data = Some(Bytes::from(snap::v2_store(&cluster.members, index)));
        let bytes = snap::encode(&raftpb::Snapshot { data, metadata: Some(metadata) });
        let path = self.building.join("snap").join(snap::file_name(FIRST_TERM, index));
        let file = create(&path)?;
        std::io::Write::write_all(&mut &file, &bytes).map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))
    }

    fn publish(&self) -> Result<()> {
        sync_dir(&self.building.join("snap"))?;
        sync_dir(&self.building)?;
        let member = self.data_dir.member();
        fs::rename(&self.building, &member).map_err(Error::io("rename", &self.building))?;
        sync_dir(self.data_dir.root())?;
        match self.data_dir.root().parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
            _ => sync_dir(Path::new(".")),
        }
    }

    /// Leaves no trace of what failed. Best effort: the first error is the one to report.
    fn discard(&self) {
        let _ = fs::remove_dir_all(&self.building);
        if self.made_root {
            let _ = fs::remove_dir(self.data_dir.root());
        }
        if self.data_dir.wal_in_member().is_none() {
            let _ = fs::remove_dir_all(self.data_dir.wal());
        }
    }
}

fn create(path: &Path) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path).map_err(Error::io("create", path))
}

fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", path))
}

/// The newest revision in bucket `key`; zero for an empty one.
fn latest_revision(source: &Database) -> Result<Revision> {
    let Some(keys) = source.bucket(bucket::KEY)? else {
        return Err(Error::unsupported(source.path(), "a database without the bucket key"));
    };
    let Some((key, _)) = keys.last()? else { return Ok(Revision::default()) };
    match RevisionKey::decode(&key) {
        Some(row) => Ok(row.revision),
        None => Err(Error::unsupported(source.path(), format!("bucket key ends with {key:?}"))),
    }
}

fn plan(
    cluster: &InitialCluster,
    source: &Database,
    release: Option<Release>,
) -> Result<RewritePlan> {
    let put = |key: &[u8], value: &[u8]| (key.to_vec(), Some(value.to_vec()));
    let members = cluster
        .members
        .iter()
        .map(|member| (member_key(member.id).into_bytes(), Some(member.to_json())));
    let index = cluster.members.len() as u64;
    let marks = [
        put(meta::CONSISTENT_INDEX, &index.to_be_bytes()),
        put(meta::TERM, &FIRST_TERM.to_be_bytes()),
        put(meta::CONF_STATE, &meta::encode_conf_state(&cluster.conf_state())),
    ];
    let mut plan = BTreeMap::new();
    for name in bucket::ALL {
        plan.insert(name.to_owned(), BucketPlan::default());
    }
    let members = BucketPlan { drops_rows: true, changes: members.collect() };
    plan.insert(bucket::MEMBERS.to_owned(), members);
    let removed = BucketPlan { drops_rows: true, ..BucketPlan::default() };
    plan.insert(bucket::MEMBERS_REMOVED.to_owned(), removed);
    let marks = BucketPlan { drops_rows: false, changes: Changes::from(marks) };
    plan.insert(bucket::META.to_owned(), marks);
    if let Some(release) = release {
        release.fit(&mut plan, source)?;
    }
    Ok(plan)
}

/// An empty row at the new revision, and a compaction scheduled there: at start the server resumes it.
fn bump(plan: &mut RewritePlan, revision: i64) {
    let revision = Revision { main: revision, sub: 0 }.encode().to_vec();
    let mut put = |name: &str, key: Vec<u8>, value: Vec<u8>| {
        plan.entry(name.to_owned()).or_default().changes.insert(key, Some(value));
    };
    put(bucket::KEY, revision.clone(), Vec::new());
    put(bucket::META, meta::SCHEDULED_COMPACT.to_vec(), revision);
}
