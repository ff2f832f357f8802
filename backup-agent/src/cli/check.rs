//! `check`: is the newest backup that counts young enough? For a monitor: backups that silently stopped are found by their
//! age, wherever the agent that should take them is.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::flags::{Output, StoreFlags, parse_duration};
use super::print;
use crate::backup_id::BackupId;
use crate::catalogue::{Catalogue, Wanted};
use crate::error::{AgentError, Result};

/// Flags of `check`.
#[derive(Args, Debug)]
pub struct CheckCommand {
    #[command(flatten)]
    store: StoreFlags,
    /// Which cluster's backups, where several share the store (hexadecimal id)
    #[arg(long)]
    cluster_id: Option<String>,
    /// Oldest age of the newest backup, for example "90m" or "26h"
    #[arg(long, env = "QUORATE_BACKUP_MAX_AGE", default_value = "26h", value_parser = parse_duration)]
    max_age: SignedDuration,
}

#[derive(Serialize)]
struct Checked<'a> {
    id: &'a BackupId,
    revision: i64,
    age_seconds: i64,
    max_age_seconds: i64,
}

impl CheckCommand {
    /// Runs the command.
    pub async fn run(self, output: Output) -> Result<()> {
        let store = self.store.open().await?;
        let catalogue = Catalogue::read(store.as_ref()).await?;
        let manifest = catalogue.find(&Wanted::Latest, self.cluster_id.as_deref())?;
        let age = Timestamp::now().duration_since(manifest.started_at);
        let checked = Checked {
            id: &manifest.id,
            revision: manifest.snapshot.revision,
            age_seconds: age.as_secs(),
            max_age_seconds: self.max_age.as_secs(),
        };
        let text = format!(
            "newest backup {}, revision {}, {age:#} old, at most {:#} wanted",
            checked.id,
            checked.revision,
            self.max_age,
            age = SignedDuration::from_secs(checked.age_seconds),
        );
        match output {
            Output::Json => print::json(&checked),
            Output::Table => println!("{text}"),
        }
        if age > self.max_age { Err(AgentError::TooOld { what: text }) } else { Ok(()) }
    }
}
