//! `verify`: downloads a backup and checks every byte of it.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::flags::{Output, StoreFlags};
use super::print;
use crate::backup_id::BackupId;
use crate::catalogue::{Catalogue, Wanted};
use crate::error::Result;
use crate::spool::Spool;
use crate::take::{check_stored, fetch, verify_against};

/// Flags of `verify`.
#[derive(Args, Debug)]
pub struct VerifyCommand {
    /// Backup id, or `latest`
    #[arg(value_name = "ID")]
    id: Wanted,
    #[command(flatten)]
    store: StoreFlags,
    /// Which cluster's `latest`, where several share the store (hexadecimal id)
    #[arg(long)]
    cluster_id: Option<String>,
    /// Directory for the local copy
    #[arg(long, env = "QUORATE_BACKUP_SPOOL_DIR", default_value_os_t = std::env::temp_dir())]
    spool_dir: PathBuf,
}

#[derive(Serialize)]
struct Verified<'a> {
    id: &'a BackupId,
    size_bytes: u64,
    revision: i64,
    hash_kv: u32,
    sha256: &'a str,
}

impl VerifyCommand {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<()> {
        let store = self.store.open().await?;
        let catalogue = Catalogue::read(store.as_ref()).await?;
        let manifest = catalogue.find(&self.id, self.cluster_id.as_deref())?;
        check_stored(store.as_ref(), &manifest.snapshot).await?;
        let spool = Spool::open(&self.spool_dir)?;
        let file = spool.path().join("snapshot.db");
        fetch(store.as_ref(), &manifest.snapshot, &file).await?;
        verify_against(&file, &manifest.snapshot).await?;
        let snapshot = &manifest.snapshot;
        let verified = Verified {
            id: &manifest.id,
            size_bytes: snapshot.size_bytes,
            revision: snapshot.revision,
            hash_kv: snapshot.hash_kv,
            sha256: &snapshot.sha256,
        };
        match output {
            Output::Json => print::json(&verified),
            Output::Table => println!(
                "backup {} is whole: {}, revision {}, HashKV {}",
                verified.id,
                print::bytes(verified.size_bytes),
                verified.revision,
                verified.hash_kv
            ),
        }
        Ok(())
    }
}
