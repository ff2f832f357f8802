//! One backup, from the cluster to the manifest. The steps are in their own files; here is only their order, and what
//! happens when one fails: another member is tried, and nothing half done is left where it counts.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use quorate_client::Client;

use super::prove::prove;
use super::seal::{Provenance, seal};
use super::select::rank;
use super::stream::{Streamed, stream};
use super::survey::{MemberState, Survey};
use super::upload::{ReadBack, upload, write_manifest};
use super::verify::{SnapshotContent, hash_after_compaction, inspect};
use crate::error::{AgentError, Result};
use crate::file_hash::hash_file;
use crate::manifest::{Manifest, Verdict};
use crate::spool::Spool;
use crate::store::SnapshotStore;

/// Options of one backup.
#[derive(Clone, Debug)]
pub struct TakeOptions {
    /// Directory for the local copy while it is verified and uploaded.
    pub spool_dir: PathBuf,
    /// How much to read back after the upload.
    pub read_back: ReadBack,
}

/// Takes one backup and returns its manifest, which is in the store by then.
///
/// A disputed backup (another member has other content at the same revision) is stored as evidence and returned;
/// it does not count, see [`Manifest::is_counted`].
pub async fn take(
    client: &Client,
    store: &dyn SnapshotStore,
    options: &TakeOptions,
) -> Result<Manifest> {
    let started_at = Timestamp::now();
    let spool = Spool::open(&options.spool_dir)?;
    let survey = Survey::make(client).await?;
    let file = spool.path().join("snapshot.db");
    let (state, streamed, content) = stream_from_best(client, &survey, &file).await?;
    let provenance = Provenance::of_member(&survey, &state, &content);
    let facts = (streamed.size, streamed.sha256);
    let mut manifest = seal(provenance, &content, facts, started_at);
    let after = |compact_revision| hash_after_compaction(&file, &content, compact_revision);
    manifest.proof = prove(client, &survey, state.member_id, &manifest.snapshot, &after).await;
    report_proof(&manifest);
    finish(manifest, store, &file, options.read_back, spool.path()).await
}

/// Stores a snapshot file that is already on this machine (one rescued from a data directory).
pub async fn store_snapshot(
    store: &dyn SnapshotStore,
    file: &Path,
    provenance: Provenance,
    read_back: ReadBack,
    spool: &Path,
) -> Result<Manifest> {
    let content = inspect(file).await?;
    let facts = hash_file(file).await?;
    let manifest = seal(provenance, &content, facts, Timestamp::now());
    finish(manifest, store, file, read_back, spool).await
}

async fn finish(
    mut manifest: Manifest,
    store: &dyn SnapshotStore,
    file: &Path,
    read_back: ReadBack,
    spool: &Path,
) -> Result<Manifest> {
    upload(store, &manifest.snapshot, file, read_back, spool).await?;
    manifest.finished_at = Timestamp::now();
    write_manifest(store, &manifest).await?;
    tracing::info!(
        id = %manifest.id,
        cluster = %manifest.cluster_id,
        revision = manifest.snapshot.revision,
        bytes = manifest.snapshot.size_bytes,
        proof = ?manifest.proof.verdict,
        "backup stored"
    );
    Ok(manifest)
}

/// Streams and verifies from the best member that manages to.
async fn stream_from_best(
    client: &Client,
    survey: &Survey,
    file: &Path,
) -> Result<(MemberState, Streamed, SnapshotContent)> {
    let selection = rank(&survey.states);
    for (endpoint, reason) in &selection.excluded {
        tracing::info!(%endpoint, reason, "member not used");
    }
    let mut last_error =
        AgentError::Cluster { what: format!("no member may be used: {:?}", selection.excluded) };
    for state in selection.ranked {
        match stream_and_verify(client, &state, file).await {
            Ok((streamed, content)) => return Ok((state, streamed, content)),
            // The local disk will not be better with the next member.
            Err(error @ (AgentError::Io { .. } | AgentError::Refused { .. })) => return Err(error),
            Err(error) => {
                tracing::warn!(endpoint = %state.endpoint, %error, "snapshot failed, next member");
                last_error = error;
            }
        }
    }
    Err(last_error)
}

async fn stream_and_verify(
    client: &Client,
    state: &MemberState,
    file: &Path,
) -> Result<(Streamed, SnapshotContent)> {
    tracing::info!(endpoint = %state.endpoint, is_leader = state.is_leader, "streaming snapshot");
    let streamed = stream(client, &state.endpoint, file, state.size_bytes).await?;
    let content = inspect(file).await?;
    if content.revision < state.revision {
        return Err(AgentError::damaged(format!(
            "snapshot of {} ends at revision {}, the member had {} before",
            state.endpoint, content.revision, state.revision
        )));
    }
    if content.database_sha256 != streamed.database_sha256 {
        return Err(AgentError::damaged("the file on disk is not what was streamed".to_string()));
    }
    Ok((streamed, content))
}

fn report_proof(manifest: &Manifest) {
    let proof = &manifest.proof;
    match proof.verdict {
        Verdict::Confirmed => {}
        // A cluster of one has nobody to ask.
        Verdict::Unconfirmed if manifest.members.len() == 1 => {}
        Verdict::Unconfirmed => tracing::warn!(
            answers = proof.answers.len(),
            "no other member could confirm the snapshot's content"
        ),
        Verdict::Disputed => tracing::error!(
            revision = manifest.snapshot.revision,
            answers = ?proof.answers,
            "another member has other content at this revision: the backup is kept as evidence and does not count"
        ),
    }
}
