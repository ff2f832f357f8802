//! Builds our directory beside etcd's: the log copied byte by byte, the state from the rows of the database.

use super::journal::{Origin, failed, look};
use super::places::Places;
use crate::apply::{ImportError, Imported, import};
use crate::node::error::{Context as _, Result, refuse};
use crate::raft::{Membership, Peer, StoredMembership};
use crate::storage::{AppliedMark, Backend, BackendOptions};
use crate::types::ETCD_VERSION;
use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::datadir::Survivor;
use quorate_etcd_files::disk::Disk;
use quorate_etcd_files::rows::{bucket, meta};
use quorate_etcd_files::wal;
use std::path::Path;

/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;

/// Builds everything and decides the take-over by writing `ORIGIN`. Expects that nothing has been built yet.
pub(super) fn build(places: &Places, options: &BackendOptions, stamp: String) -> Result<Origin> {
    let data_dir = places.data_dir();
    let survivor = Survivor::open_locked(&data_dir).context("failed to read etcd's directory")?;
    let etcd = refuse_newer(survivor.database())?;
    tell(&survivor, &etcd, places);
    refuse_lost_log(&survivor)?;
    check_structure(survivor.database())?;
    let look = look(&places.member(), &data_dir.wal())?;
    let disk = options.disk.as_ref();
    let snap = places.staging().join("snap");
    disk.create_dir_all(&snap).map_err(failed("create", &snap))?;
    copy_log(disk, &data_dir.wal(), &places.staged_wal())?;
    build_state(&survivor, &snap.join("state"), options)?;
    for dir in [&snap, &places.staging(), &places.root] {
        disk.sync_dir(dir).map_err(failed("sync", dir))?;
    }
    let kept = [Some(places.kept_member(&stamp)), places.kept_wal(&stamp)];
    let origin = Origin { stamp, etcd, kept: kept.into_iter().flatten().collect(), look };
    origin.write(disk, places)?;
    Ok(origin)
}

fn tell(survivor: &Survivor, etcd: &str, places: &Places) {
    let log = survivor.replay();
    tracing::info!(
        etcd,
        data_dir = %places.root.display(),
        cluster = format!("{:x}", log.metadata.cluster_id()),
        member = format!("{:x}", log.metadata.node_id()),
        database_bytes = survivor.database().size(),
        database_index = survivor.consistent_index(),
        commit_index = survivor.commit_index(),
        last_index = log.last_index(),
        "etcd wrote this data directory; taking it over"
    );
}

/// The release line that wrote the database. One that is newer than this server may hold what it does not understand.
fn refuse_newer(database: &Database) -> Result<String> {
    let row = |name: &str, key: &[u8]| -> Result<Option<String>> {
        let bucket = database.bucket(name).context("failed to read etcd's database")?;
        let value = match bucket {
            Some(bucket) => bucket.get(key).context("failed to read etcd's database")?,
            None => None,
        };
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    };
    let schema = row(bucket::META, meta::STORAGE_VERSION)?;
    let cluster = row(bucket::CLUSTER, meta::CLUSTER_VERSION)?;
    let line = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    let ours = line(ETCD_VERSION).unwrap_or_default();
    for version in [&schema, &cluster].into_iter().flatten() {
        if line(version).is_none_or(|theirs| theirs > ours) {
            refuse!(
                "etcd's directory is of version {version:?}; this server knows up to {}.{}. Downgrade the cluster \
                 with etcd first, or take a newer Quorate.",
                ours.0,
                ours.1
            );
        }
    }
    let short = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    if let Some(version) = schema.as_deref().and_then(line) {
        return Ok(short(version));
    }
    let is_35 = row(bucket::META, meta::TERM)?.is_some();
    Ok(if is_35 { "3.5".to_owned() } else { "3.4".to_owned() })
}

/// etcd would repair the log's end, and then never serve: what is left of it does not reach to what was applied.
fn refuse_lost_log(survivor: &Survivor) -> Result<()> {
    let Some(lost) = survivor.lost() else { return Ok(()) };
    refuse!(
        "{lost}. Nothing was changed. Go on from the other members: remove this one from the cluster and add it again with \
         an empty directory. Where it is the only one, save what is left with `quoratectl snapshot export`, or restore a \
         snapshot."
    );
}

fn check_structure(database: &Database) -> Result<()> {
    let check = database.check().context("failed to read etcd's database")?;
    let Some(first) = check.findings.first() else { return Ok(()) };
    refuse!(
        "etcd's database {} is damaged at offset {}: {} ({} findings in all). Nothing was changed. Remove this member \
         from the cluster and add it again with an empty directory, or restore a snapshot.",
        database.path().display(),
        first.offset,
        first.what,
        check.count
    );
}

/// Copies the segments. Chunks of zeros, which are prepared space, become holes.
fn copy_log(disk: &dyn Disk, from: &Path, to: &Path) -> Result<()> {
    disk.create_dir_all(to).map_err(failed("create", to))?;
    for segment in wal::list_segments(disk, from).context("failed to read etcd's log")? {
        let target = to.join(segment.path.file_name().unwrap_or_default());
        let source = disk.open_read(&segment.path).map_err(failed("open", &segment.path))?;
        let copy = disk.create(&target).map_err(failed("create", &target))?;
        let length = source.len().map_err(failed("measure", &segment.path))?;
        copy.set_len(length).map_err(failed("allocate", &target))?;
        let mut chunk = Vec::new();
        let mut at = 0;
        while at < length {
            chunk.resize((length - at).min(CHUNK) as usize, 0);
            source.read_exact_at(&mut chunk, at).map_err(failed("read", &segment.path))?;
            if chunk.iter().any(|byte| *byte != 0) {
                copy.write_all_at(&chunk, at).map_err(failed("write", &target))?;
            }
            at += chunk.len() as u64;
        }
        copy.sync_data().map_err(failed("sync", &target))?;
    }
    disk.sync_dir(to).map_err(failed("sync", to))?;
    let parent = to.parent().unwrap_or(Path::new("/"));
    disk.sync_dir(parent).map_err(failed("sync", parent))
}

fn build_state(survivor: &Survivor, path: &Path, options: &BackendOptions) -> Result<()> {
    let found = survivor.membership().context("failed to find the members")?;
    let term = survivor.term().context("failed to read etcd's log")?;
    let mark = AppliedMark { term, index: survivor.consistent_index(), leader_member_id: 0 };
    let peer = |(id, member): (&u64, &quorate_etcd_files::rows::Member)| {
        let peer_urls = member.peer_urls.clone();
        (*id, Peer { peer_urls, is_learner: member.is_learner, is_joining: false })
    };
    let membership = StoredMembership {
        mark: AppliedMark { term: found.term, index: found.index, leader_member_id: 0 },
        membership: Membership { members: found.members.iter().map(peer).collect() },
    };
    let imported = Imported {
        mark,
        membership,
        members: found.members.into_values().collect(),
        removed: found.removed.into_iter().collect(),
    };
    let backend = Backend::open(path, options.clone()).context("failed to make the state")?;
    match import(&backend, survivor.database(), &imported) {
        Err(ImportError::Row(damaged)) => refuse!(
            "{damaged}. Nothing was changed; etcd does not start on it either. Remove this member from the cluster and add \
             it again with an empty directory, or restore a snapshot."
        ),
        done => done.context("failed to copy the rows of etcd's database")?,
    }
    backend.close().context("failed to close the state")
}
