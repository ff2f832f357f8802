//! `list`: what the store holds.

use clap::Args;
use serde::Serialize;

use super::backup::verdict;
use super::flags::{Output, StoreFlags};
use super::print;
use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::manifest::Manifest;

/// Flags of `list`.
#[derive(Args, Debug)]
pub struct ListCommand {
    #[command(flatten)]
    store: StoreFlags,
    /// Only backups of this cluster (hexadecimal id)
    #[arg(long)]
    cluster_id: Option<String>,
}

#[derive(Serialize)]
struct Listing<'a> {
    backups: Vec<&'a Manifest>,
    damaged: Vec<Damaged<'a>>,
    unfinished: Vec<&'a str>,
}

#[derive(Serialize)]
struct Damaged<'a> {
    object: &'a str,
    reason: &'a str,
}

impl ListCommand {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<()> {
        let store = self.store.open().await?;
        let catalogue = Catalogue::read(store.as_ref()).await?;
        let is_wanted = |backup: &&Manifest| {
            self.cluster_id.as_deref().is_none_or(|cluster| cluster == backup.cluster_id)
        };
        let backups: Vec<_> = catalogue.backups.iter().filter(is_wanted).collect();
        match output {
            Output::Json => print::json(&Listing {
                backups,
                damaged: catalogue
                    .damaged
                    .iter()
                    .map(|(object, reason)| Damaged { object, reason })
                    .collect(),
                unfinished: catalogue.unfinished.iter().map(|o| o.name.as_str()).collect(),
            }),
            Output::Table if backups.is_empty() && catalogue.is_empty() => {
                println!("no backups in {}", store.describe());
            }
            Output::Table => print_listing(&backups, &catalogue),
        }
        Ok(())
    }
}

fn print_listing(backups: &[&Manifest], catalogue: &Catalogue) {
    let row = |backup: &&Manifest| {
        [
            backup.id.to_string(),
            print::time(backup.started_at),
            backup.cluster_id.clone(),
            backup.snapshot.revision.to_string(),
            backup.snapshot.total_keys.to_string(),
            print::bytes(backup.snapshot.size_bytes),
            backup.source.server_version.clone(),
            verdict(backup.proof.verdict).to_owned(),
        ]
    };
    let rows: Vec<_> = backups.iter().map(row).collect();
    let header = ["ID", "TAKEN", "CLUSTER", "REVISION", "KEYS", "SIZE", "SERVER", "CONTENT"];
    print::table(header, &rows);
    for (object, reason) in &catalogue.damaged {
        println!("damaged: {object}: {reason}");
    }
    for object in &catalogue.unfinished {
        println!("unfinished (no manifest): {}, {}", object.name, print::bytes(object.size));
    }
}
