//! `restore`: makes a data directory from a backup.

use std::path::PathBuf;

use clap::Args;
use quorate_etcd_files::datadir::{InitialCluster, InitialUrls};
use serde::Serialize;

use super::flags::{Output, StoreFlags};
use super::print;
use crate::catalogue::{Catalogue, Wanted};
use crate::error::{AgentError, Result};
use crate::manifest::Manifest;
use crate::restore::{RestoredMember, Target, restore, token_for};
use crate::spool::Spool;
use crate::take::{fetch, verify_against};

/// Flags of `restore`.
#[derive(Args, Debug)]
pub struct RestoreCommand {
    /// Backup id, or `latest`
    #[arg(value_name = "ID")]
    id: Wanted,
    #[command(flatten)]
    store: StoreFlags,
    /// Which cluster's `latest`, where several share the store (hexadecimal id)
    #[arg(long)]
    cluster_id: Option<String>,
    #[command(flatten)]
    target: TargetFlags,
    /// Directory for the local copy of the snapshot
    #[arg(long, env = "QUORATE_BACKUP_SPOOL_DIR", default_value_os_t = std::env::temp_dir())]
    spool_dir: PathBuf,
}

/// What to restore into; the flags are those of `etcdutl snapshot restore`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Target")]
struct TargetFlags {
    /// Data directory to make; absent or empty
    #[arg(long)]
    data_dir: PathBuf,
    /// Directory of the write-ahead log, where it is to be elsewhere; absent
    #[arg(long)]
    wal_dir: Option<PathBuf>,
    /// Name of this member
    #[arg(long, default_value = "default")]
    name: String,
    /// Members the new cluster begins with: name=peer-url,name=peer-url. Every one of them restores the same backup
    #[arg(long, default_value = "default=http://localhost:2380")]
    initial_cluster: String,
    /// Seed of the new ids, the same for all members. By default made from the backup id, so that no member of the old
    /// cluster can join the new one
    #[arg(long)]
    initial_cluster_token: Option<String>,
    /// Peer URLs of this member, separated by commas; by default those in --initial-cluster
    #[arg(long, value_delimiter = ',')]
    initial_advertise_peer_urls: Vec<String>,
    /// Raise the revision by this much, so that it is above every revision a client may have seen
    #[arg(long, requires = "mark_compacted")]
    bump_revision: Option<u64>,
    /// With --bump-revision: mark everything before as compacted, so that every watch and cache starts anew
    #[arg(long, requires = "bump_revision")]
    mark_compacted: bool,
}

#[derive(Serialize)]
struct Restored<'a> {
    backup: &'a str,
    data_dir: &'a std::path::Path,
    token: &'a str,
    #[serde(flatten)]
    member: RestoredMember,
}

impl TargetFlags {
    fn target(self, manifest: &Manifest) -> Result<Target> {
        let initial_cluster = parse_initial_cluster(&self.initial_cluster)?;
        let mut peer_urls = self.initial_advertise_peer_urls;
        if peer_urls.is_empty() {
            peer_urls = initial_cluster.get(&self.name).cloned().unwrap_or_default();
        }
        Ok(Target {
            data_dir: self.data_dir,
            wal_dir: self.wal_dir,
            name: self.name,
            initial_cluster,
            token: self.initial_cluster_token.unwrap_or_else(|| token_for(manifest.id.as_str())),
            peer_urls,
            bump_revision: self.bump_revision,
        })
    }
}

/// Reads `name=url,name=url`.
pub fn parse_initial_cluster(text: &str) -> Result<InitialUrls> {
    InitialCluster::parse(text).map_err(|error| {
        AgentError::configuration(
            format!("--initial-cluster: {error}"),
            "Give name=http://host:2380 for every member, separated by commas.",
        )
    })
}

impl RestoreCommand {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<()> {
        let store = self.store.open().await?;
        let catalogue = Catalogue::read(store.as_ref()).await?;
        let manifest = catalogue.find(&self.id, self.cluster_id.as_deref())?;
        let target = self.target.target(manifest)?;
        let spool = Spool::open(&self.spool_dir)?;
        let file = spool.path().join("snapshot.db");
        fetch(store.as_ref(), &manifest.snapshot, &file).await?;
        let content = verify_against(&file, &manifest.snapshot).await?;
        let member = restore(&file, &content, &target).await?;
        let restored = Restored {
            backup: manifest.id.as_str(),
            data_dir: &target.data_dir,
            token: &target.token,
            member,
        };
        match output {
            Output::Json => print::json(&restored),
            Output::Table => print_restored(&restored, manifest, &target),
        }
        Ok(())
    }
}

fn print_restored(restored: &Restored<'_>, manifest: &Manifest, target: &Target) {
    println!("backup {} restored into {}", restored.backup, target.data_dir.display());
    println!("  cluster   {} (new)", restored.member.cluster_id);
    println!("  member    {} ({})", restored.member.member_id, target.name);
    println!("  revision  {}", restored.member.revision);
    println!("  keys      {}", restored.member.total_keys);
    println!("  token     {}", target.token);
    if target.initial_cluster.len() > 1 {
        println!(
            "Restore the same backup with the same token on every other member, then start them all."
        );
    }
    if target.bump_revision.is_none() {
        println!(
            "The revision goes back to {}: restart clients that watch or cache, or restore with \
             --bump-revision and --mark-compacted.",
            restored.member.revision
        );
    }
    for alarm in &manifest.alarms {
        println!("The backup holds the alarm {alarm}: it is raised again when the cluster starts.");
    }
    let version = &manifest.source.cluster_version;
    if !version.is_empty() {
        println!("Start it with a server of version {version} or newer.");
    }
}
