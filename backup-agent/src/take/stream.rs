//! Streams Maintenance.Snapshot into a private file, hashing as it goes. Memory is bounded by one chunk.
//!
//! The member keeps a read transaction open while it streams, so the bytes go to the local disk as fast as they
//! come, and everything else happens afterwards.

use std::path::Path;
use std::time::Duration;

use quorate_client::Client;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::durable::{create_private_file, free_bytes};
use crate::error::{AgentError, Result};
use crate::manifest::hex;

/// A stream that is silent for this long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 1 << 20;

/// A whole snapshot on the local disk, its digest checked.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// File size in bytes, digest included.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// SHA-256 of the database: equal to the digest at the end of the file.
    pub database_sha256: String,
    /// Storage version the server named, empty before 3.6.
    pub storage_version: String,
}

/// Streams from one endpoint into `target`. `expected_bytes` is the database size the member reported.
///
/// # Errors
/// The disk has no room, the member fails or falls silent, or the digest differs.
pub async fn stream(
    client: &Client,
    endpoint: &str,
    target: &Path,
    expected_bytes: u64,
) -> Result<Streamed> {
    check_room(target, expected_bytes)?;
    let cluster =
        |what: String| AgentError::Cluster { what: format!("snapshot of {endpoint}: {what}") };
    let at = client.at(endpoint).map_err(|error| cluster(error.to_string()))?;
    let mut snapshot =
        at.maintenance().snapshot().await.map_err(|error| cluster(error.to_string()))?;
    let file = tokio::fs::File::from_std(create_private_file(target)?);
    let mut file = tokio::io::BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut hasher = Sha256::new();
    loop {
        let next = tokio::time::timeout(SILENCE_MAX, snapshot.next());
        let chunk = match next.await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(cluster(error.to_string())),
            Err(_) => return Err(cluster(format!("nothing came for {SILENCE_MAX:?}"))),
        };
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(AgentError::io("write", target))?;
    }
    file.flush().await.map_err(AgentError::io("write", target))?;
    file.get_ref().sync_all().await.map_err(AgentError::io("sync", target))?;
    let Some(database_sha256) = snapshot.sha256().map(str::to_owned) else {
        return Err(cluster("the stream ended without a digest".into()));
    };
    Ok(Streamed {
        size: snapshot.received(),
        sha256: hex(&hasher.finalize()),
        database_sha256,
        storage_version: snapshot.version().to_owned(),
    })
}

fn check_room(target: &Path, expected_bytes: u64) -> Result<()> {
    let directory = target.parent().unwrap_or(Path::new("."));
    let free = free_bytes(directory)?;
    // The member may grow while it streams.
    let needed = expected_bytes + expected_bytes / 10;
    if free >= needed {
        return Ok(());
    }
    Err(AgentError::refused(
        format!("{} has {free} bytes free, the snapshot needs {needed}", directory.display()),
        "Free space there, or name another directory with --spool-dir.",
    ))
}
