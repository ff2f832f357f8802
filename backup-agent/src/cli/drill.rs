//! `drill`: restores a backup, boots it on loopback and compares.

use std::path::PathBuf;

use clap::Args;

use super::flags::{AccessFlags, Output, StoreFlags};
use super::print;
use crate::catalogue::{Catalogue, Wanted};
use crate::drill::drill;
use crate::error::Result;
use crate::spool::Spool;

/// Flags of `drill`.
#[derive(Args, Debug)]
pub struct DrillCommand {
    /// Backup id, or `latest`
    #[arg(value_name = "ID", default_value = "latest")]
    id: Wanted,
    #[command(flatten)]
    store: StoreFlags,
    /// Which cluster's `latest`, where several share the store (hexadecimal id)
    #[arg(long)]
    cluster_id: Option<String>,
    /// Server to boot: etcd or quorate-server
    #[arg(long, env = "QUORATE_BACKUP_SERVER_BINARY", default_value = "quorate-server")]
    server_binary: PathBuf,
    #[command(flatten)]
    access: AccessFlags,
    /// Directory for the restored data
    #[arg(long, env = "QUORATE_BACKUP_SPOOL_DIR", default_value_os_t = std::env::temp_dir())]
    spool_dir: PathBuf,
}

impl DrillCommand {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<()> {
        let store = self.store.open().await?;
        let catalogue = Catalogue::read(store.as_ref()).await?;
        let manifest = catalogue.find(&self.id, self.cluster_id.as_deref())?;
        let spool = Spool::open(&self.spool_dir)?;
        let credentials = self.access.credentials()?;
        let binary = &self.server_binary;
        let report = drill(store.as_ref(), manifest, binary, spool.path(), credentials).await?;
        match output {
            Output::Json => print::json(&report),
            Output::Table => {
                println!("drill of backup {} passed", report.id);
                println!("  server    {} {}", binary.display(), report.server_version);
                println!("  revision  {}", report.revision);
                match report.hash_kv {
                    Some(hash) => println!("  HashKV    {hash}, equal to the manifest's"),
                    None => println!("  HashKV    not compared"),
                }
                println!("  serving   {:.1} s after the download began", report.seconds);
            }
        }
        Ok(())
    }
}
