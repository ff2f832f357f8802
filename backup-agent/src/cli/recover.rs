//! `recover`: the guided recovery on a terminal, and the same without questions by flags.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::flags::{AccessFlags, OptionalStoreFlags, Output};
use super::print;
use super::question::{ask, confirm, is_interactive};
use super::restore::parse_initial_cluster;
use crate::catalogue::{Catalogue, Wanted};
use crate::durable::create_private_dir;
use crate::error::{AgentError, Result};
use crate::manifest::MemberFacts;
use crate::recover::{
    Access, BackupFacts, Inventory, JOURNAL, Journal, MemberTarget, Plan, RecoverRequest,
    SourceRequest, Tail, Workspace, execute, make_plan, read_survivor, undo,
};
use crate::restore::token_for;
use crate::store::SnapshotStore;

/// How far the revision is raised after a restore from a backup, where nobody knows what clients have seen since.
/// OpenShift uses the same amount.
const BUMP_FROM_BACKUP: u64 = 1_000_000_000;

/// Flags of `recover`.
#[derive(Args, Debug)]
pub struct RecoverCommand {
    /// Recover from the data directory of a member whose process is down
    #[arg(long, conflicts_with = "from_backup", help_heading = "Source")]
    from_data_dir: Option<PathBuf>,
    /// Its write-ahead log, where that is elsewhere
    #[arg(long, requires = "from_data_dir", help_heading = "Source")]
    from_wal_dir: Option<PathBuf>,
    /// What to do with entries at the end of its log that are not known to be committed
    #[arg(long, value_enum, default_value_t, help_heading = "Source")]
    tail: Tail,
    /// Recover from a backup in --store: an id, or `latest`
    #[arg(long, help_heading = "Source")]
    from_backup: Option<Wanted>,
    /// Which cluster's `latest`, where several share the store (hexadecimal id)
    #[arg(long, help_heading = "Source")]
    cluster_id: Option<String>,

    /// Member to restore first; by default the survivor, or the first of --initial-cluster
    #[arg(long, help_heading = "Target")]
    name: Option<String>,
    /// Members the cluster shall have: name=peer-url,…; by default those it had
    #[arg(long, help_heading = "Target")]
    initial_cluster: Option<String>,
    /// Where clients reach each member: name=client-url,…; by default as they were
    #[arg(long, help_heading = "Target")]
    client_urls: Option<String>,
    /// Data directory to make for the first member; absent or empty
    #[arg(long, help_heading = "Target")]
    data_dir: Option<PathBuf>,
    /// Seed of the new ids; by default made anew
    #[arg(long, help_heading = "Target")]
    initial_cluster_token: Option<String>,
    /// Raise the revision by this much and mark everything before as compacted; 0 leaves it. By default 0 from a data
    /// directory and 1000000000 from a backup
    #[arg(long, help_heading = "Target")]
    bump_revision: Option<u64>,

    /// Directory for the journal and everything made on the way
    #[arg(long, env = "QUORATE_BACKUP_RECOVER_DIR", default_value = "quorate-recovery")]
    work_dir: PathBuf,
    /// Server that replays the survivor's log: the same kind and version as the survivor's
    #[arg(long, env = "QUORATE_BACKUP_SERVER_BINARY", default_value = "quorate-server")]
    server_binary: PathBuf,
    /// Shell command that starts a member, told which by QUORATE_RECOVER_NAME, _DATA_DIR (first member only),
    /// _PEER_URLS, _CLIENT_URLS, _INITIAL_CLUSTER and _INITIAL_CLUSTER_STATE. Without it the start lines are shown
    #[arg(long)]
    start_hook: Option<String>,
    /// Seconds to wait for each member to start and to catch up
    #[arg(long, default_value_t = 1800)]
    wait: u64,
    /// Do not probe whether the old members are off: you have made sure
    #[arg(long)]
    others_are_off: bool,
    /// Only show the plan
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Take back what the recovery in --work-dir has done
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    store: OptionalStoreFlags,
    #[command(flatten)]
    access: AccessFlags,
}

#[derive(Serialize)]
struct Report<'a> {
    plan: &'a Plan,
    /// One line per step that was done; absent for a dry run.
    done: Option<Vec<String>>,
}

impl RecoverCommand {
    /// Runs the command.
    pub async fn run(mut self, output: Output) -> Result<()> {
        let store = self.store.open().await?;
        self.go_on();
        self.ask_source(store.as_deref()).await?;
        let inventory = self.take_inventory(store.as_deref()).await?;
        let request = self.request(&inventory)?;
        let plan = make_plan(&request, &inventory, store.is_some());
        if output == Output::Table {
            print_plan(&plan);
        }
        if self.dry_run {
            if output == Output::Json {
                print::json(&Report { plan: &plan, done: None });
            }
            return Ok(());
        }
        self.confirm(inventory.cluster_id())?;
        let workspace = self.workspace(request, inventory, store)?;
        let mut journal = Journal::open(&workspace.journal(), &workspace.request)?;
        if self.undo {
            return undo(&workspace, &mut journal).await;
        }
        let done = execute(&workspace, &mut journal).await?;
        match output {
            Output::Json => print::json(&Report { plan: &plan, done: Some(done) }),
            Output::Table => {
                println!("recovered; the journal is {}", workspace.journal().display());
                plan.afterwards.iter().for_each(|line| println!("{line}"));
            }
        }
        Ok(())
    }

    /// A recovery that was begun in the work directory says what it was asked for; flags may repeat it.
    fn go_on(&mut self) {
        let Ok(journal) = Journal::load(&self.work_dir.join(JOURNAL)) else { return };
        let begun = journal.request();
        eprintln!("There is a recovery in {}: this goes on with it.", self.work_dir.display());
        if self.from_data_dir.is_none() && self.from_backup.is_none() {
            match &begun.source {
                SourceRequest::DataDir { path, wal_dir, tail, .. } => {
                    self.from_data_dir = Some(path.clone());
                    self.from_wal_dir = wal_dir.clone();
                    self.tail = *tail;
                }
                // One that cannot be named any more is asked for again.
                SourceRequest::Backup { id, .. } => self.from_backup = id.parse().ok(),
            }
        }
        self.data_dir.get_or_insert_with(|| begun.data_dir.clone());
    }

    /// On a terminal, asks where the data comes from when no flag says it.
    async fn ask_source(&mut self, store: Option<&dyn SnapshotStore>) -> Result<()> {
        if self.from_data_dir.is_some() || self.from_backup.is_some() {
            return Ok(());
        }
        if !is_interactive() || self.yes {
            return Err(AgentError::configuration(
                "it is not said where the data comes from",
                "Give --from-data-dir DIR or --from-backup ID.",
            ));
        }
        eprintln!("Where does the data come from?");
        eprintln!("  A survivor's data directory is newest: with its log nothing it has is lost.");
        if let Some(store) = store {
            let catalogue = Catalogue::read(store).await?;
            for backup in catalogue.backups.iter().rev().take(10) {
                let taken = print::time(backup.started_at);
                eprintln!("  backup {}: {taken}, revision {}", backup.id, backup.snapshot.revision);
            }
        }
        loop {
            let answer = ask("Data directory, backup id, or latest", None)?;
            if Path::new(&answer).is_dir() {
                self.from_data_dir = Some(answer.into());
                return Ok(());
            }
            match answer.parse() {
                Ok(wanted) => {
                    self.from_backup = Some(wanted);
                    return Ok(());
                }
                Err(_) => eprintln!("{answer:?} is neither a directory here nor a backup id."),
            }
        }
    }

    async fn take_inventory(&self, store: Option<&dyn SnapshotStore>) -> Result<Inventory> {
        if let Some(path) = &self.from_data_dir {
            let survivor = read_survivor(path, self.from_wal_dir.as_deref()).await?;
            return Ok(Inventory::Survivor(survivor));
        }
        let (Some(wanted), Some(store)) = (&self.from_backup, store) else {
            return Err(AgentError::configuration("no store was named", "Give --store."));
        };
        let catalogue = Catalogue::read(store).await?;
        // A recovery that is resumed goes on with the backup it began with, whatever is the latest by now.
        let begun = Journal::load(&self.work_dir.join(JOURNAL)).ok();
        let manifest = match (wanted, begun.map(|journal| journal.request().source.clone())) {
            (Wanted::Latest, Some(SourceRequest::Backup { id, .. })) => {
                catalogue.find(&id.parse()?, None)?
            }
            (wanted, _) => catalogue.find(wanted, self.cluster_id.as_deref())?,
        };
        let manifest = manifest.clone();
        let age = Timestamp::now().duration_since(manifest.started_at);
        Ok(Inventory::Backup(Box::new(BackupFacts { manifest, age_seconds: age.as_secs() })))
    }

    fn request(&self, inventory: &Inventory) -> Result<RecoverRequest> {
        let source = match (&self.from_data_dir, inventory) {
            (Some(path), Inventory::Survivor(survivor)) => SourceRequest::DataDir {
                path: absolute(path)?,
                server: survivor.server,
                wal_dir: self.from_wal_dir.as_deref().map(absolute).transpose()?,
                tail: self.tail,
            },
            (None, Inventory::Backup(backup)) => SourceRequest::Backup {
                id: backup.manifest.id.to_string(),
                cluster_id: backup.manifest.cluster_id.clone(),
            },
            (None, Inventory::Survivor(_)) | (Some(_), Inventory::Backup(_)) => {
                return Err(AgentError::configuration("no source", "Give --from-data-dir."));
            }
        };
        let members = self.members(inventory)?;
        let bump = self.bump_revision.unwrap_or(match source {
            SourceRequest::DataDir { .. } => 0,
            SourceRequest::Backup { .. } => BUMP_FROM_BACKUP,
        });
        let data_dir = match &self.data_dir {
            Some(path) => absolute(path)?,
            None if is_interactive() && !self.yes => {
                let question =
                    format!("Data directory to make for {}, absent or empty", members[0].name);
                absolute(Path::new(&ask(&question, None)?))?
            }
            None => {
                return Err(AgentError::configuration(
                    "the data directory to make is not given",
                    "Give --data-dir DIR, absent or empty.",
                ));
            }
        };
        let work_dir = absolute(&self.work_dir)?;
        let is_begun = work_dir.join(JOURNAL).exists();
        if !is_begun && is_occupied(&data_dir) {
            return Err(AgentError::refused(
                format!("{} is not empty, or no directory", data_dir.display()),
                "Give --data-dir with a new path. Old data directories stay where they are until all is well again.",
            ));
        }
        Ok(RecoverRequest {
            source,
            members,
            data_dir,
            // The same for every run with this work directory, so that a resumed run asks for the same.
            token: self.initial_cluster_token.clone().unwrap_or_else(|| fresh_token(&work_dir)),
            bump_revision: (bump > 0).then_some(bump),
            server_binary: self.server_binary.clone(),
            start_hook: self.start_hook.clone(),
            wait_seconds: self.wait,
            is_fenced: self.others_are_off,
        })
    }

    /// The members to bring back, the first one first.
    fn members(&self, inventory: &Inventory) -> Result<Vec<MemberTarget>> {
        let known = inventory.members();
        let peer_urls = match &self.initial_cluster {
            Some(text) => parse_initial_cluster(text)?,
            None => known
                .iter()
                .filter(|member| !member.name.is_empty() && !member.is_learner)
                .map(|member| (member.name.clone(), member.peer_urls.clone()))
                .collect(),
        };
        let client_urls = match &self.client_urls {
            Some(text) => parse_initial_cluster(text)?,
            None => known
                .iter()
                .map(|member| (member.name.clone(), member.client_urls.clone()))
                .collect(),
        };
        let source_name = inventory.source_member().map(|member: &MemberFacts| member.name.clone());
        let first = self
            .name
            .clone()
            .or(source_name.filter(|name| peer_urls.contains_key(name)))
            .or_else(|| peer_urls.keys().next().cloned())
            .unwrap_or_default();
        if !peer_urls.contains_key(&first) {
            return Err(AgentError::configuration(
                format!("member \"{first}\" is not in the cluster to be"),
                "Give --name with one of the names in --initial-cluster.",
            ));
        }
        let target = |(name, peer_urls): (String, Vec<String>)| MemberTarget {
            client_url: client_urls.get(&name).and_then(|urls| urls.first().cloned()),
            name,
            peer_urls,
        };
        let mut members: Vec<_> = peer_urls.into_iter().map(target).collect();
        members.sort_by_key(|member| member.name != first);
        Ok(members)
    }

    fn confirm(&self, cluster_id: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !is_interactive() {
            return Err(AgentError::refused(
                "nobody can be asked: this is no terminal",
                "Look at the plan with --dry-run, then say --yes.",
            ));
        }
        let question = if self.undo {
            "This takes back what the recovery has done."
        } else {
            "Are all old members off, and shall this be done?"
        };
        confirm(question, cluster_id)
    }

    fn workspace(
        &self,
        request: RecoverRequest,
        inventory: Inventory,
        store: Option<Arc<dyn SnapshotStore>>,
    ) -> Result<Workspace> {
        let directory = absolute(&self.work_dir)?;
        create_private_dir(&directory)?;
        let credentials = self.access.credentials()?;
        Ok(Workspace {
            request,
            inventory,
            directory,
            store,
            access: Access { tls: self.access.tls(), credentials },
            say: |line| eprintln!("{line}"),
        })
    }
}

/// True where a data directory cannot be made.
fn is_occupied(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// A token no other recovery has: made once per work directory, kept in its journal.
fn fresh_token(work_dir: &Path) -> String {
    match Journal::load(&work_dir.join(JOURNAL)) {
        Ok(journal) => journal.request().token.clone(),
        Err(_) => token_for(&format!("{:016x}", rand::random::<u64>())),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(AgentError::io("name", path))
}

fn print_plan(plan: &Plan) {
    println!("Found");
    plan.found.iter().for_each(|line| println!("  {line}"));
    println!("Lost");
    plan.losses.iter().for_each(|line| println!("  {line}"));
    println!("Steps");
    for (number, step) in (1..).zip(&plan.steps) {
        println!("  {number}. {}", step.title);
        step.equivalent.iter().for_each(|line| println!("       = {line}"));
        println!("     check: {}", step.check);
        println!("     undo:  {}", step.undo);
    }
    println!("Afterwards");
    plan.afterwards.iter().for_each(|line| println!("  {line}"));
}
