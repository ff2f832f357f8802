//! `backup now`: takes one backup and prints its manifest.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::flags::{ClusterFlags, Output, StoreFlags, TakeFlags};
use super::print;
use crate::error::{AgentError, Result};
use crate::manifest::{Manifest, Verdict};
use crate::take::take;

/// Flags of `backup`.
#[derive(Args, Debug)]
pub struct BackupCommand {
    #[command(subcommand)]
    when: When,
}

#[derive(Debug, Subcommand)]
enum When {
    /// Take one backup now
    ///
    /// Streams a snapshot from the best member, verifies it, has the other members confirm its content, stores it and
    /// reads it back. It counts once its manifest is stored. Ends with 3 when another member contradicts the content:
    /// then the backup is stored as evidence and does not count.
    Now(NowCommand),
}

#[derive(Args, Debug)]
struct NowCommand {
    #[command(flatten)]
    cluster: ClusterFlags,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    take: TakeFlags,
    /// Give up after this many seconds
    #[arg(long, env = "QUORATE_BACKUP_DEADLINE", default_value_t = 3600)]
    deadline: u64,
}

impl BackupCommand {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<()> {
        let When::Now(command) = self.when;
        let client = command.cluster.connect().await?;
        let store = command.store.open().await?;
        let deadline = Duration::from_secs(command.deadline);
        let options = command.take.options();
        let taken = tokio::time::timeout(deadline, take(&client, store.as_ref(), &options));
        let manifest = taken.await.map_err(|_| AgentError::Cluster {
            what: format!("the backup was not finished within {deadline:?}"),
        })??;
        match output {
            Output::Json => print::json(&manifest),
            Output::Table => print_manifest(&manifest),
        }
        if manifest.is_counted() {
            return Ok(());
        }
        Err(AgentError::Integrity {
            what: format!("backup {} is disputed by another member", manifest.id),
            hint: "One member's data is corrupt: compare `endpoint hashkv --cluster`.".into(),
        })
    }
}

fn print_manifest(manifest: &Manifest) {
    let Manifest { snapshot, source, proof, .. } = manifest;
    println!("backup {} stored", manifest.id);
    println!("  cluster   {}", manifest.cluster_id);
    println!("  from      {} ({})", source.endpoint, source.member_name);
    println!("  revision  {}", snapshot.revision);
    println!("  keys      {}", snapshot.total_keys);
    println!("  size      {}", print::bytes(snapshot.size_bytes));
    println!("  sha256    {}", snapshot.sha256);
    println!("  content   {}", verdict(proof.verdict));
    for answer in &proof.answers {
        let detail = answer.detail.as_deref().unwrap_or("same HashKV");
        println!("            {}: {detail}", answer.endpoint);
    }
}

/// A verdict in words.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Confirmed => "confirmed",
        Verdict::Unconfirmed => "unconfirmed",
        Verdict::Disputed => "disputed",
    }
}
