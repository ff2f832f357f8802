//! Which backups a store holds: every manifest that can be read, and what is damaged or unfinished beside them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use crate::backup_id::{BackupId, ObjectKind, object_kind};
use crate::error::{AgentError, Result};
use crate::manifest::{MANIFEST_SIZE_MAX, Manifest};
use crate::policy::KeptBackup;
use crate::store::{SnapshotStore, StoredObject};

/// Manifests read at once.
const READS_AT_ONCE: usize = 8;
/// A snapshot without a manifest may still be uploading; after this long its run is surely over.
pub const UNFINISHED_AGE: SignedDuration = SignedDuration::from_hours(24);

/// What a store holds.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Backups with a readable manifest and their snapshot in place, oldest first.
    pub backups: Vec<Manifest>,
    /// Backups that are not usable, with the reason: a manifest that cannot be read, a snapshot that is missing.
    pub damaged: Vec<(String, String)>,
    /// Snapshots without a manifest: interrupted runs, or one that is running now.
    pub unfinished: Vec<StoredObject>,
}

impl Catalogue {
    /// True where the store holds nothing of ours, not even something broken.
    pub fn is_empty(&self) -> bool {
        self.backups.is_empty() && self.damaged.is_empty() && self.unfinished.is_empty()
    }

    /// Reads the whole store.
    pub async fn read(store: &dyn SnapshotStore) -> Result<Self> {
        let objects = store.list().await?;
        let snapshots: BTreeSet<_> = objects.iter().map(|object| object.name.as_str()).collect();
        let manifests: Vec<_> = objects
            .iter()
            .filter(|object| matches!(object_kind(&object.name), ObjectKind::Manifest(_)))
            .map(|object| object.name.clone())
            .collect();
        let mut catalogue = Self::default();
        let mut reads = stream::iter(manifests)
            .map(|name| async move { (read_manifest(store, &name).await, name) })
            .buffered(READS_AT_ONCE);
        let mut finished = BTreeSet::new();
        while let Some((read, name)) = reads.next().await {
            if let ObjectKind::Manifest(id) = object_kind(&name) {
                finished.insert(id);
            }
            match read {
                Ok(manifest) if snapshots.contains(manifest.snapshot.object.as_str()) => {
                    catalogue.backups.push(manifest);
                }
                Ok(manifest) => {
                    let what = format!("snapshot {} is missing", manifest.snapshot.object);
                    catalogue.damaged.push((name, what));
                }
                // Pruned by another agent since the list was made.
                Err(AgentError::NotFound { .. }) => {}
                Err(error @ AgentError::Integrity { .. }) => {
                    catalogue.damaged.push((name, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        drop(reads);
        catalogue.unfinished = objects
            .into_iter()
            .filter(|object| match object_kind(&object.name) {
                ObjectKind::Snapshot(id) => !finished.contains(&id),
                ObjectKind::Manifest(_) | ObjectKind::Foreign => false,
            })
            .collect();
        catalogue.backups.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        Ok(catalogue)
    }

    /// Finds one backup. `cluster_id` narrows `latest` down in a store that several clusters share.
    pub fn find(&self, wanted: &Wanted, cluster_id: Option<&str>) -> Result<&Manifest> {
        let mut candidates = self
            .backups
            .iter()
            .rev()
            .filter(|backup| cluster_id.is_none_or(|cluster| cluster == backup.cluster_id));
        let Wanted::Id(id) = wanted else {
            let clusters: BTreeSet<_> =
                candidates.clone().map(|backup| backup.cluster_id.as_str()).collect();
            if clusters.len() > 1 {
                return Err(AgentError::refused(
                    format!("the store holds backups of {} clusters", clusters.len()),
                    format!(
                        "Give --cluster-id with one of {}; `list` shows which backup is whose.",
                        clusters.into_iter().collect::<Vec<_>>().join(", ")
                    ),
                ));
            }
            let newest = candidates.find(|backup| backup.is_counted());
            return newest
                .ok_or_else(|| AgentError::NotFound { what: "no backup is there".into() });
        };
        candidates
            .find(|backup| backup.id == *id)
            .ok_or_else(|| AgentError::NotFound { what: format!("backup {id} is not there") })
    }

    /// Start of the newest counted backup of a cluster (of any, where none is named).
    pub fn last_success(&self, cluster_id: Option<&str>) -> Option<Timestamp> {
        let counted = self.backups.iter().filter(|backup| {
            backup.is_counted() && cluster_id.is_none_or(|cluster| cluster == backup.cluster_id)
        });
        counted.map(|backup| backup.started_at).max()
    }

    /// The history, as retention wants it.
    pub fn history(&self) -> Vec<KeptBackup> {
        let kept = |backup: &Manifest| KeptBackup {
            id: backup.id.to_string(),
            cluster_id: backup.cluster_id.clone(),
            taken_at: backup.started_at,
            is_counted: backup.is_counted(),
        };
        self.backups.iter().map(kept).collect()
    }

    /// Unfinished snapshots whose run is surely over.
    pub fn abandoned(&self, now: Timestamp) -> impl Iterator<Item = &StoredObject> {
        let before = now - UNFINISHED_AGE;
        self.unfinished.iter().filter(move |object| object.modified < before)
    }
}

async fn read_manifest(store: &dyn SnapshotStore, name: &str) -> Result<Manifest> {
    let bytes = match store.get_bytes(name, MANIFEST_SIZE_MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            return match store.stat(name).await {
                Ok(None) => Err(AgentError::NotFound { what: format!("{name} is gone") }),
                _ => Err(error),
            };
        }
    };
    let manifest = Manifest::decode(name, &bytes)?;
    // A manifest that was moved or copied would lead prune and restore to the wrong objects.
    if manifest.id.manifest_object(&manifest.cluster_id) != name {
        return Err(AgentError::damaged(format!("manifest {name} belongs to {}", manifest.id)));
    }
    Ok(manifest)
}

/// A backup as the operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest counted one.
    Latest,
    /// This one.
    Id(BackupId),
}

impl FromStr for Wanted {
    type Err = AgentError;

    fn from_str(text: &str) -> Result<Self> {
        if text == "latest" { Ok(Self::Latest) } else { text.parse().map(Self::Id) }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}
