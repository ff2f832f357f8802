//! What the steps of a recovery work with: the request, the files in the work directory, the way to the members.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_client::{Client, Config, Credentials, Tls};

use super::inventory::Inventory;
use super::request::{MemberTarget, RecoverRequest};
use crate::error::{AgentError, Result};
use crate::store::SnapshotStore;

/// Name of the journal in the work directory.
pub const JOURNAL: &str = "journal.jsonl";

/// How members are talked to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// TLS files.
    pub tls: Option<Tls>,
    /// Credentials, where auth is on.
    pub credentials: Option<Credentials>,
}

/// Everything a step may use.
pub struct Workspace {
    /// What is asked for.
    pub request: RecoverRequest,
    /// What there is to recover from.
    pub inventory: Inventory,
    /// Directory of the journal and of everything made on the way.
    pub directory: PathBuf,
    /// The store, where one was named.
    pub store: Option<Arc<dyn SnapshotStore>>,
    /// How members are talked to.
    pub access: Access,
    /// Tells the operator something while a step runs.
    pub say: fn(&str),
}

impl Workspace {
    /// Copy of the survivor's data directory, for the replay.
    pub fn copy(&self) -> PathBuf {
        self.directory.join("copy")
    }

    /// The snapshot everything is restored from.
    pub fn snapshot(&self) -> PathBuf {
        self.directory.join("snapshot.db")
    }

    /// Log of the server that replays.
    pub fn replay_log(&self) -> PathBuf {
        self.directory.join("replay.log")
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.directory.join(JOURNAL)
    }

    /// How long to wait for a member.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.request.wait_seconds)
    }

    /// A client of one member.
    pub async fn client(&self, member: &MemberTarget) -> Result<Client> {
        let Some(url) = &member.client_url else {
            return Err(AgentError::refused(
                format!("the client URL of {} is not known", member.name),
                "Give --client-urls name=url for every member.",
            ));
        };
        let mut config = Config::new([url.as_str()]);
        config.tls = self.access.tls.clone();
        config.credentials = self.access.credentials.clone();
        let connected = Client::connect(config).await;
        connected.map_err(|error| AgentError::Cluster { what: error.to_string() })
    }
}
