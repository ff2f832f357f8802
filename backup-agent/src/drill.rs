//! The drill: restores a backup into a temporary directory, boots a real server from it on loopback, and compares what
//! the server says with the manifest. A backup that was never restored is only a hope.

use std::path::{Path, PathBuf};
use std::time::Instant;

use quorate_client::Credentials;
use quorate_etcd_files::datadir::InitialUrls;
use serde::Serialize;

use crate::error::{AgentError, Result};
use crate::loopback_server::{LoopbackOptions, LoopbackServer, is_auth_error};
use crate::manifest::{Manifest, SnapshotFacts};
use crate::restore::{Target, restore, token_for};
use crate::store::SnapshotStore;
use crate::take::{fetch, verify_against};

const NAME: &str = "drill";
/// Only a name for the ids: the server listens on free loopback ports.
const PEER_URL: &str = "http://127.0.0.1:2380";

/// What a drill found.
#[derive(Clone, Debug, Serialize)]
pub struct DrillReport {
    /// Backup id.
    pub id: String,
    /// Version of the server that booted.
    pub server_version: String,
    /// Revision the server came up with.
    pub revision: i64,
    /// HashKV the server computed at that revision; `None` where the backup has auth on and no credentials were given.
    pub hash_kv: Option<u32>,
    /// Seconds from the download to a server that serves.
    pub seconds: f64,
}

/// Runs a drill in `directory`, which the caller removes.
pub async fn drill(
    store: &dyn SnapshotStore,
    manifest: &Manifest,
    binary: &Path,
    directory: &Path,
    credentials: Option<Credentials>,
) -> Result<DrillReport> {
    let started = Instant::now();
    let file = directory.join("snapshot.db");
    fetch(store, &manifest.snapshot, &file).await?;
    let content = verify_against(&file, &manifest.snapshot).await?;
    let data_dir = directory.join("data");
    let target = Target {
        data_dir: data_dir.clone(),
        wal_dir: None,
        name: NAME.into(),
        initial_cluster: InitialUrls::from([(NAME.into(), vec![PEER_URL.into()])]),
        token: token_for(manifest.id.as_str()),
        peer_urls: vec![PEER_URL.into()],
        bump_revision: None,
    };
    restore(&file, &content, &target).await?;
    let server = LoopbackServer::start(&LoopbackOptions {
        binary: binary.to_owned(),
        data_dir,
        name: NAME.into(),
        is_force_new_cluster: false,
        log_file: log_file(directory),
        credentials,
    })
    .await?;
    let compared = compare(&server, manifest, started).await;
    let stopped = server.stop().await;
    let report = compared?;
    stopped?;
    Ok(report)
}

/// Where the server's log is, for the error text.
pub fn log_file(directory: &Path) -> PathBuf {
    directory.join("server.log")
}

async fn compare(
    server: &LoopbackServer,
    manifest: &Manifest,
    started: Instant,
) -> Result<DrillReport> {
    let SnapshotFacts { revision: wanted, hash_kv, compact_revision, .. } = manifest.snapshot;
    let status = server.status().await?;
    let seconds = started.elapsed().as_secs_f64();
    let revision = status.header.unwrap_or_default().revision;
    if revision != wanted {
        return Err(AgentError::damaged(format!(
            "the server came up with revision {revision}, the manifest says {wanted}"
        )));
    }
    let report = |hash_kv| DrillReport {
        id: manifest.id.to_string(),
        server_version: status.version.clone(),
        revision,
        hash_kv,
        seconds,
    };
    let answer = match server.client().await?.maintenance().hash_kv(wanted).await {
        Ok(answer) => answer,
        Err(error) if is_auth_error(&error) => {
            tracing::warn!("auth is on in this backup: give --user to compare HashKV too");
            return Ok(report(None));
        }
        Err(error) => {
            return Err(AgentError::Server { what: format!("HashKV of the drill: {error}") });
        }
    };
    let is_comparable = answer.compact_revision == compact_revision;
    if is_comparable && answer.hash != hash_kv {
        return Err(AgentError::damaged(format!(
            "the server computes HashKV {}, the manifest says {hash_kv}",
            answer.hash
        )));
    }
    Ok(report(is_comparable.then_some(answer.hash)))
}
