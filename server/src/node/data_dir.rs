//! The data directory: made, locked, recognised. What is in it decides over everything the `initial-*` flags say.
//!
//! Layout (etcd's): `member/wal` is the log, `member/snap` the state. A directory with etcd's database at `member/snap/db`,
//! from a running cluster or restored, is taken over first (`takeover`).

use super::error::{Context as _, NodeError, Result, refuse};
use super::state::backend_options;
use super::{discovery, join, srv, takeover};
use crate::config::{Config, Discovery};
use crate::storage::engine_of;
use crate::tls::TlsDialer;
use fs4::fs_std::FileExt;
use quorate_etcd_files::datadir::{self, InitialCluster, InitialUrls};
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_etcd_files::wal;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that is ours and ready to start from.
pub(super) struct DataDir {
    pub(super) member_id: u64,
    pub(super) cluster_id: u64,
    pub(super) wal_dir: PathBuf,
    pub(super) snap_dir: PathBuf,
    /// Held as long as the member runs.
    _lock: File,
}

/// Opens or makes the directory.
///
/// # Errors
/// It is in use, belongs to something else, or the flags do not describe a cluster that this member is part of. Then
/// it is left as it was.
pub(super) async fn open(config: &Config, dialer: &TlsDialer) -> Result<DataDir> {
    let root = &config.data_dir;
    let (wal_dir, snap_dir) = (config.wal_path(), config.state_path());
    look_around(config)?;
    let (places, options) = (takeover::Places::of(config), backend_options(config)?);
    let lone = places.clone();
    tokio::task::spawn_blocking(move || takeover::settle(&places, &options))
        .await
        .context("the take-over broke off")??;
    let has_log = has_log(&wal_dir)?;
    if has_log {
        takeover::refuse_lone_log(&lone)?;
    }
    if !has_log && engine_of(&snap_dir.join("state")).context("the state cannot be used")?.is_some()
    {
        refuse!(
            "there is no log in {}, yet {} holds a state that was made with one. Give the --wal-dir, or mount the disk, \
             that it was started with. If the log is lost this member may have voted and promised what it no longer \
             knows: remove it from the cluster and add it again with an empty directory.",
            wal_dir.display(),
            snap_dir.display()
        );
    }
    let unfinished = root.join(datadir::UNFINISHED);
    if !has_log && unfinished.exists() {
        refuse!(
            "a restore into {} was broken off: {} is what it had made. Started now, this member would begin without any \
             data. Remove {} and restore again.",
            root.display(),
            unfinished.display(),
            unfinished.display()
        );
    }
    // Judged before anything is written, so that a wrong flag leaves no trace.
    let plan = if has_log { None } else { Some(plan_bootstrap(config, dialer).await?) };
    make_dirs(root, &snap_dir)?;
    let lock = lock(root)?;
    if let Some((cluster, member_id, is_joining)) = plan {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let members = if is_joining { Vec::new() } else { cluster.members.clone() };
        let cluster = InitialCluster { members, cluster_id: cluster.cluster_id };
        make_way(&wal_dir)?;
        let options = wal::Options { prepare_ahead: false, ..wal::Options::default() };
        datadir::create_log(disk, &wal_dir, &cluster, member_id, false, options)
            .context("failed to make the log")?;
    }
    let (member_id, cluster_id) = read_identity(&wal_dir)?;
    Ok(DataDir { member_id, cluster_id, wal_dir, snap_dir, _lock: lock })
}

/// Warns of what is nobody's business here, in etcd's words: operators keep snapshots, logs and notes beside `member`.
///
/// # Errors
/// It is no directory.
pub(super) fn look_around(config: &Config) -> Result<()> {
    let root = &config.data_dir;
    let Ok(entries) = std::fs::read_dir(root) else {
        if root.exists() {
            refuse!(
                "--data-dir {} cannot be read as a directory. Choose another path.",
                root.display()
            );
        }
        return Ok(());
    };
    let wal_dir = config.wal_path();
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to read {}", root.display()))?;
        let (name, path) = (entry.file_name(), entry.path());
        let known = ["member", "fixtures", "lost+found", takeover::STAGING];
        let is_known = known.iter().any(|known| name == *known)
            || takeover::is_kept_original(&name)
            || wal_dir.starts_with(&path);
        if !is_known {
            tracing::warn!(filename = ?name, data_dir = %root.display(), "found invalid file under data directory");
        }
    }
    Ok(())
}

/// True where a log has been begun. A directory without segments that somebody made for it is none, as in etcd.
fn has_log(wal_dir: &Path) -> Result<bool> {
    let is_segment = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|found| found == "wal"))
    };
    match std::fs::read_dir(wal_dir) {
        Ok(mut entries) => Ok(entries.any(is_segment)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", wal_dir.display())),
    }
}

/// The log appears whole, by a rename, so that an empty directory in its place has to go.
fn make_way(wal_dir: &Path) -> Result<()> {
    match std::fs::remove_dir(wal_dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let path = wal_dir.display();
            refuse!(
                "{path} cannot be replaced by the log: {error}. Where a disk is mounted there, give a directory below \
                 it, such as {path}/wal."
            )
        }
    }
}

fn make_dirs(root: &Path, snap_dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(snap_dir).with_context(|| format!("failed to create {}", snap_dir.display()))?;
    for dir in [snap_dir, &root.join("member"), root] {
        OsDisk.sync_dir(dir).with_context(|| format!("failed to sync {}", dir.display()))?;
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("member").join("lock");
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("failed to open {}", path.display()))?;
    let is_ours = FileExt::try_lock_exclusive(&file);
    if !is_ours.with_context(|| format!("failed to lock {}", path.display()))? {
        refuse!(
            "{} is in use by another process. Stop it first, or choose another --data-dir.",
            root.display()
        );
    }
    Ok(file)
}

/// A damaged log is never mended by guessing.
fn unreadable(error: &quorate_etcd_files::Error) -> NodeError {
    NodeError::Refused(format!(
        "failed to read the log: {error}. Restore a snapshot into a new directory, or remove this member from the \
         cluster and add it again with an empty one."
    ))
}

/// Ids from the log's first record; they win over all flags.
fn read_identity(wal_dir: &Path) -> Result<(u64, u64)> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let mut reader = wal::Reader::open(&disk, wal_dir).map_err(|error| unreadable(&error))?;
    while let Some((record, _)) = reader.next_record().map_err(|error| unreadable(&error))? {
        if let wal::Record::Metadata(metadata) = record {
            return Ok((metadata.node_id(), metadata.cluster_id()));
        }
    }
    refuse!(
        "the log in {} does not say whose it is. Restore a snapshot into a new directory.",
        wal_dir.display()
    )
}

/// Who belongs to the initial cluster, and its token: from the flags, from DNS or from a discovery service.
async fn learn_cluster(config: &Config, advertised: &[String]) -> Result<(InitialUrls, String)> {
    match &config.discovery {
        None => Ok((config.initial_cluster.clone(), config.initial_cluster_token.clone())),
        Some(Discovery::Srv { domain, service_name }) => {
            let names = srv::Names::of_the_system()?;
            let at = (domain.as_str(), service_name.as_str());
            let cluster = srv::initial_cluster(&names, at, &config.name, advertised).await?;
            Ok((cluster, config.initial_cluster_token.clone()))
        }
        Some(Discovery::V3(service)) => {
            // As in etcd, the ids are made with the discovery token.
            let own = InitialUrls::from([(config.name.clone(), advertised.to_vec())]);
            let alone = InitialCluster::new(&own, &service.token)
                .context("invalid --initial-advertise-peer-urls")?;
            let id = alone.members.first().map_or(0, |member| member.id);
            let cluster = discovery::initial_cluster(service, id, &config.name, advertised).await?;
            Ok((cluster, service.token.clone()))
        }
    }
}

/// The cluster to start or to join, this member's id in it, and whether it joins.
async fn plan_bootstrap(
    config: &Config,
    dialer: &TlsDialer,
) -> Result<(InitialCluster, u64, bool)> {
    let mut advertised: Vec<String> =
        config.initial_advertise_peer_urls.iter().map(ToString::to_string).collect();
    advertised.sort();
    let (initial_cluster, token) = learn_cluster(config, &advertised).await?;
    if let Err(error) = datadir::check_local_member(&initial_cluster, &config.name, &advertised)
        && !matches!(config.discovery, Some(Discovery::Srv { .. }))
    {
        refuse!("{error}. Make --name, --initial-advertise-peer-urls and --initial-cluster agree.");
    }
    if config.initial_cluster_is_new {
        let cluster =
            InitialCluster::new(&initial_cluster, &token).context("invalid --initial-cluster")?;
        let Some(member) = cluster.member_named(&config.name) else {
            refuse!("--name {:?} is not in --initial-cluster", config.name);
        };
        let id = member.id;
        join::refuse_if_bootstrapped(dialer, &cluster, id).await?;
        return Ok((cluster, id, false));
    }
    let (cluster, id) = join::find_cluster(dialer, &initial_cluster, &advertised).await?;
    Ok((cluster, id, true))
}
