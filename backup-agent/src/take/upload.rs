//! Puts the snapshot into the store and reads it back; then the manifest, last. Only then the backup counts.

use std::path::Path;

use crate::durable::create_private_dir;
use crate::error::{AgentError, Result};
use crate::file_hash::hash_file;
use crate::manifest::{Manifest, SnapshotFacts};
use crate::store::{ObjectFacts, SnapshotStore};

/// How much of the stored snapshot is read back after the upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReadBack {
    /// Its size and the hash kept beside it.
    #[default]
    Head,
    /// Every byte.
    Full,
}

/// Uploads the snapshot file.
pub async fn upload(
    store: &dyn SnapshotStore,
    snapshot: &SnapshotFacts,
    file: &Path,
    read_back: ReadBack,
    spool: &Path,
) -> Result<()> {
    let facts = ObjectFacts { size: snapshot.size_bytes, sha256: snapshot.sha256.clone() };
    store.put_file(&snapshot.object, file, &facts).await?;
    check_stored(store, snapshot).await?;
    if read_back == ReadBack::Full {
        let directory = spool.join("read-back");
        create_private_dir(&directory)?;
        let copy = directory.join("snapshot.db");
        fetch(store, snapshot, &copy).await?;
        std::fs::remove_file(&copy).map_err(AgentError::io("remove", &copy))?;
    }
    Ok(())
}

/// Compares the store's own facts of the object with the manifest's, without reading it.
pub async fn check_stored(store: &dyn SnapshotStore, snapshot: &SnapshotFacts) -> Result<()> {
    let name = &snapshot.object;
    let Some(stored) = store.stat(name).await? else {
        return Err(AgentError::damaged(format!("{name} is not in {}", store.describe())));
    };
    if stored.size != snapshot.size_bytes {
        return Err(AgentError::damaged(format!(
            "{name} has {} bytes in the store, {} were taken",
            stored.size, snapshot.size_bytes
        )));
    }
    match stored.sha256 {
        Some(sha256) if sha256 != snapshot.sha256 => Err(AgentError::damaged(format!(
            "{name} is marked with the hash {sha256}, {} was taken",
            snapshot.sha256
        ))),
        _ => Ok(()),
    }
}

/// Downloads the snapshot into `target` and checks size and hash.
pub async fn fetch(
    store: &dyn SnapshotStore,
    snapshot: &SnapshotFacts,
    target: &Path,
) -> Result<()> {
    store.get_file(&snapshot.object, target).await?;
    let (size, sha256) = hash_file(target).await?;
    if size == snapshot.size_bytes && sha256 == snapshot.sha256 {
        return Ok(());
    }
    Err(AgentError::damaged(format!(
        "{} is damaged: {size} bytes with hash {sha256}, expected {} bytes with {}",
        snapshot.object, snapshot.size_bytes, snapshot.sha256
    )))
}

/// Writes the manifest and reads it back.
pub async fn write_manifest(store: &dyn SnapshotStore, manifest: &Manifest) -> Result<()> {
    let name = manifest.id.manifest_object(&manifest.cluster_id);
    let bytes = bytes::Bytes::from(manifest.encode());
    store.put_bytes(&name, bytes.clone()).await?;
    let stored = store.get_bytes(&name, crate::manifest::MANIFEST_SIZE_MAX).await?;
    if stored == bytes {
        return Ok(());
    }
    Err(AgentError::damaged(format!("manifest {name} reads back differently")))
}
