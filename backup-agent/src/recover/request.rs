//! What is asked of a recovery. It is written into the journal, so that a resumed run cannot mean something else.

use std::path::PathBuf;

use quorate_etcd_files::datadir::InitialUrls;
use serde::{Deserialize, Serialize};

use super::inventory::ServerKind;

/// Where the data comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceRequest {
    /// The data directory of a member whose process is down.
    DataDir {
        /// The directory; never written to.
        path: PathBuf,
        /// Its log, where that is elsewhere.
        wal_dir: Option<PathBuf>,
        /// Whose it is.
        server: ServerKind,
        /// What to do with entries not known to be committed.
        tail: Tail,
    },
    /// A backup in the store.
    Backup {
        /// Backup id.
        id: String,
        /// Its cluster.
        cluster_id: String,
    },
}

/// What to do with log entries that are not known to be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// Keep them: the dead leader may have acknowledged the last ones. Some may never have been acknowledged.
    #[default]
    Keep,
    /// Drop them: only what is known to be committed comes back. An acknowledged write may be lost.
    CommittedOnly,
}

/// One member of the cluster as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberTarget {
    /// Its name.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// Where its clients reach it; needed for every step that talks to it.
    pub client_url: Option<String>,
}

/// A recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverRequest {
    /// Where the data comes from.
    pub source: SourceRequest,
    /// The members, the first one first: it is restored, the others join it.
    pub members: Vec<MemberTarget>,
    /// Data directory to make for the first member; absent or empty.
    pub data_dir: PathBuf,
    /// Seed of the new ids.
    pub token: String,
    /// Raise the revision by this much and mark everything before as compacted.
    pub bump_revision: Option<u64>,
    /// Server that replays the survivor's log: of the same kind and version as the survivor's.
    pub server_binary: PathBuf,
    /// Shell command that starts a member; without one the operator starts it and the recovery waits.
    pub start_hook: Option<String>,
    /// Seconds to wait for a member to start, or to catch up.
    pub wait_seconds: u64,
    /// Do not look whether the other members are off: the operator has made sure.
    pub is_fenced: bool,
}

impl RecoverRequest {
    /// The member that is restored.
    pub fn first(&self) -> &MemberTarget {
        &self.members[0]
    }

    /// The members that join it.
    pub fn others(&self) -> &[MemberTarget] {
        &self.members[1..]
    }

    /// Peer URLs of the first member alone: the cluster that is restored.
    pub fn first_cluster(&self) -> InitialUrls {
        InitialUrls::from([(self.first().name.clone(), self.first().peer_urls.clone())])
    }

    /// `name=url,…` of the first `n` members.
    pub fn initial_cluster(&self, n: usize) -> String {
        let pairs =
            self.members.iter().take(n).flat_map(|member| {
                member.peer_urls.iter().map(|url| format!("{}={url}", member.name))
            });
        pairs.collect::<Vec<_>>().join(",")
    }

    /// True when every member can be talked to, so that the recovery can go on to the end.
    pub fn is_online(&self) -> bool {
        self.members.iter().all(|member| member.client_url.is_some())
    }
}
