//! Deletes what retention does not keep, and what interrupted runs left. A plan first; the plan is data.

use jiff::Timestamp;

use crate::catalogue::{Catalogue, UNFINISHED_AGE};
use crate::error::Result;
use crate::policy::{Decision, RetentionPolicy, plan_retention};
use crate::store::SnapshotStore;

/// What a prune will do.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct PrunePlan {
    /// A verdict on every backup, newest first within each cluster.
    pub decisions: Vec<Decision>,
    /// Objects of interrupted runs to delete.
    pub abandoned: Vec<String>,
    #[serde(skip)]
    unfinished_before: Option<Timestamp>,
}

/// What a prune did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Backups deleted.
    pub n_backups: usize,
    /// Objects and uploads of interrupted runs removed.
    pub n_abandoned: usize,
}

/// Plans a prune. Nothing is deleted.
pub fn plan_prune(
    catalogue: &Catalogue,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Result<PrunePlan> {
    Ok(PrunePlan {
        decisions: plan_retention(policy, &catalogue.history(), now)?,
        abandoned: catalogue.abandoned(now).map(|object| object.name.clone()).collect(),
        unfinished_before: Some(now - UNFINISHED_AGE),
    })
}

/// Carries a plan out. The manifest goes first, so that a prune cut short leaves an unfinished snapshot, never a
/// manifest that promises one.
pub async fn execute(
    plan: &PrunePlan,
    catalogue: &Catalogue,
    store: &dyn SnapshotStore,
) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    for decision in plan.decisions.iter().filter(|decision| !decision.keep) {
        let matches = |id: &str| id == decision.id;
        let Some(backup) = catalogue.backups.iter().find(|b| matches(b.id.as_str())) else {
            continue;
        };
        store.delete(&backup.id.manifest_object(&backup.cluster_id)).await?;
        store.delete(&backup.snapshot.object).await?;
        tracing::info!(id = %backup.id, taken_at = %backup.started_at, "backup pruned");
        pruned.n_backups += 1;
    }
    for name in &plan.abandoned {
        store.delete(name).await?;
        tracing::info!(%name, "snapshot of an interrupted run removed");
        pruned.n_abandoned += 1;
    }
    if let Some(before) = plan.unfinished_before {
        // Not every store can list unfinished uploads; a lifecycle rule of the bucket does it there.
        match store.sweep_unfinished(before).await {
            Ok(n_swept) => pruned.n_abandoned += n_swept,
            Err(error) => tracing::debug!(%error, "unfinished uploads not swept"),
        }
    }
    Ok(pruned)
}
