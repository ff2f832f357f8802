//! What the demo is played on: three members, an S3 store, the backup agent and the load, all in one temporary folder
//! that vanishes with the stage.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::object_store::{ACCESS_KEY, BUCKET, ObjectStore, SECRET_KEY};
use crate::witness::{Ledger, Load, Pace};
use testbed::{Cluster, Plan, Process};

const MEMBERS: usize = 3;
/// About 40 puts a second: something moves on the dashboard, and the machine stays quiet.
const GENTLE: Pace = Pace { writers: 4, rest: Duration::from_millis(100), first: 0 };
/// How long the agent may take to end after SIGTERM.
const AGENT_STOP_MAX: Duration = Duration::from_secs(10);

/// The programs that play.
pub struct Programs {
    pub server: PathBuf,
    pub agent: PathBuf,
    pub dashboard: PathBuf,
}

impl Programs {
    /// Those built into a folder, the server possibly another one.
    pub fn in_folder(folder: &Path, server: Option<PathBuf>) -> Self {
        Self {
            server: server.unwrap_or_else(|| folder.join("quorate-server")),
            agent: folder.join("quorate-backup-agent"),
            dashboard: folder.join("quorate-tui"),
        }
    }
}

/// Everything that runs. Dropping it kills the processes and removes the folder.
pub struct Stage {
    pub cluster: Cluster,
    pub ledger: Arc<Ledger>,
    pub programs: Programs,
    agent: Process,
    load: Option<Load>,
    store: ObjectStore,
    // Last, so that the folder goes after those that write into it.
    folder: TempDir,
}

impl Stage {
    pub async fn set(programs: Programs) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("quorate-demo-").tempdir()?;
        let plan =
            Plan { program: &programs.server, members: MEMBERS, folder: folder.path(), extra: &[] };
        println!("demo: starting {MEMBERS} members under {}", folder.path().display());
        let cluster = Cluster::start(&plan)?;
        let urls = cluster.client_urls();
        println!("demo: members are ready at {}", urls.join(" "));

        let store = ObjectStore::start(&folder.path().join("s3")).await?;
        println!("demo: S3 store at {}, bucket {BUCKET}", store.url);
        let flags = ["run", "--schedule", "* * * * *"].map(str::to_owned);
        let mut agent = agent(&programs, "backup-agent", folder.path(), &urls, &store, &flags);
        agent.start()?;
        println!("demo: backup agent takes a backup every minute");

        let ledger = Arc::new(Ledger::default());
        let load = Some(Load::start(&urls, &ledger, GENTLE)?);
        println!("demo: a gentle load puts about 40 keys a second");
        Ok(Self { cluster, ledger, programs, agent, load, store, folder })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A run of the backup agent beside the scheduled one, with the cluster and the store as flags.
    pub fn agent(&self, name: &str, flags: &[String]) -> Process {
        let urls = self.cluster.client_urls();
        agent(&self.programs, name, self.folder.path(), &urls, &self.store, flags)
    }

    /// Ends the load; what was asked is answered first.
    pub async fn rest(&mut self) {
        if let Some(load) = self.load.take() {
            load.stop().await;
        }
    }

    /// Stops all in the order in which nothing complains, and removes the folder.
    pub async fn clear(mut self) -> Result<()> {
        self.rest().await;
        let agent = if self.agent.is_running() {
            self.agent.stop(AGENT_STOP_MAX).map(drop)
        } else {
            Err(anyhow::anyhow!("the backup agent ended by itself:\n{}", self.agent.log_end()))
        };
        let cluster = self.cluster.stop();
        drop(self.store);
        let path = self.folder.path().display().to_string();
        self.folder.close().with_context(|| format!("{path} could not be removed"))?;
        agent.and(cluster)
    }
}

fn agent(
    programs: &Programs,
    name: &str,
    folder: &Path,
    urls: &[String],
    store: &ObjectStore,
    flags: &[String],
) -> Process {
    // Secrets and places go by environment: an argument could be read by every user of the machine.
    let variables = [
        ("QUORATE_BACKUP_ENDPOINTS", urls.join(",")),
        ("QUORATE_BACKUP_STORE", format!("s3://{BUCKET}/demo")),
        ("QUORATE_BACKUP_S3_ENDPOINT", store.url.clone()),
        ("QUORATE_BACKUP_SPOOL_DIR", folder.to_string_lossy().into_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    let process = Process::new(name, folder, &programs.agent, flags);
    variables.iter().fold(process, |process, (name, value)| process.with_variable(name, value))
}
