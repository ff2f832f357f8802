//! The plan of a recovery as data: what was found, what would be lost, the steps. A pure function of what was asked and
//! what was found; nothing is done here.

use serde::Serialize;

use super::inventory::{BackupFacts, Inventory, SurvivorFacts};
use super::request::{RecoverRequest, SourceRequest, Tail};
use super::steps::build;

/// One step, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// Id, as the journal names it.
    pub id: String,
    /// What it does.
    pub title: String,
    /// What is checked after it.
    pub check: String,
    /// The commands it equals.
    pub equivalent: Vec<String>,
    /// How it is taken back.
    pub undo: String,
}

/// The whole plan.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What was found.
    pub found: Vec<String>,
    /// What would be lost, and what clients will notice.
    pub losses: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
    /// What the operator does afterwards.
    pub afterwards: Vec<String>,
}

/// Makes the plan.
pub fn make_plan(request: &RecoverRequest, inventory: &Inventory, has_store: bool) -> Plan {
    let steps = build(request, has_store);
    Plan {
        found: found(inventory),
        losses: losses(request, inventory),
        steps: steps.iter().map(|step| step.describe(request)).collect(),
        afterwards: afterwards(request),
    }
}

fn found(inventory: &Inventory) -> Vec<String> {
    let mut lines = vec![format!("cluster {}", inventory.cluster_id())];
    match inventory {
        Inventory::Survivor(SurvivorFacts {
            member_id,
            database_revision,
            n_pending,
            commit_index,
            last_index,
            ..
        }) => {
            let name = inventory.source_member().map_or("", |member| member.name.as_str());
            lines.push(format!("survivor {name} (member {member_id}), its process is down"));
            if let (Some(revision), Some(n_pending)) = (database_revision, n_pending) {
                lines.push(format!(
                    "database up to revision {revision}, {n_pending} log entries behind it"
                ));
            }
            lines.push(format!("log committed up to entry {commit_index}, last {last_index}"));
        }
        Inventory::Backup(backup) => {
            let BackupFacts { manifest, age_seconds } = &**backup;
            lines.push(format!(
                "backup {} of revision {}, {} keys, taken {} ago",
                manifest.id,
                manifest.snapshot.revision,
                manifest.snapshot.total_keys,
                duration(*age_seconds)
            ));
            lines.push(format!("content {:?} by the other members then", manifest.proof.verdict));
        }
    }
    for member in inventory.members() {
        let learner = if member.is_learner { " (learner)" } else { "" };
        lines.push(format!(
            "member {} {}{learner}: peers {}, clients {}",
            member.id,
            member.name,
            member.peer_urls.join(","),
            member.client_urls.join(",")
        ));
    }
    lines
}

fn losses(request: &RecoverRequest, inventory: &Inventory) -> Vec<String> {
    let mut lines = Vec::new();
    match (inventory, &request.source) {
        (Inventory::Survivor(survivor), SourceRequest::DataDir { tail, .. }) => {
            let n_tail = survivor.n_tail();
            lines.push(
                "writes that reached only the other members: they are not on this disk".to_owned(),
            );
            if let Some(lost) = &survivor.lost {
                lines.push(format!(
                    "acknowledged writes that this disk has lost: {lost}; prefer another survivor"
                ));
            }
            match tail {
                Tail::Keep | Tail::CommittedOnly if n_tail == 0 && survivor.lost.is_some() => {}
                Tail::Keep if n_tail > 0 => lines.push(format!(
                    "nothing this survivor has; at the end of its log {n_tail} entries are kept that may never have been \
                     acknowledged:"
                )),
                Tail::CommittedOnly if n_tail > 0 => lines.push(format!(
                    "{n_tail} entries at the end of its log, of which the dead leader may have acknowledged some:"
                )),
                Tail::Keep | Tail::CommittedOnly => {
                    lines.push("nothing this survivor has: all of its log is committed".to_owned());
                }
            }
            let shown = survivor.tail.iter();
            lines.extend(shown.map(|entry| format!("  entry {}: {}", entry.index, entry.what)));
            let n_hidden = n_tail.saturating_sub(survivor.tail.len() as u64);
            if n_hidden > 0 {
                lines.push(format!("  and {n_hidden} more"));
            }
        }
        (Inventory::Backup(backup), _) => lines.push(format!(
            "every write after revision {}: those of the last {}",
            backup.manifest.snapshot.revision,
            duration(backup.age_seconds)
        )),
        (Inventory::Survivor(_), SourceRequest::Backup { .. }) => {}
    }
    match request.bump_revision {
        Some(amount) => lines.push(format!(
            "the revision rises by {amount}: watches and caches of clients start anew by themselves"
        )),
        None if matches!(inventory, Inventory::Backup(_)) => lines
            .push("the revision goes back: restart every client that watches or caches".to_owned()),
        None => {}
    }
    lines.push("cluster and member ids change: old members cannot join any more".to_owned());
    lines
}

fn afterwards(request: &RecoverRequest) -> Vec<String> {
    let mut lines = Vec::new();
    if !request.is_online() {
        lines.push(format!(
            "Start {} from {}, then for every other member: add it as a learner, start it with an empty data \
             directory and --initial-cluster-state=existing, promote it.",
            request.first().name,
            request.data_dir.display()
        ));
    }
    lines.push(
        "Remove --initial-cluster-state=new and --force-new-cluster from every unit file: with them an \
         emptied member could form a new, empty cluster."
            .to_owned(),
    );
    lines.push("Keep the old data directories until a fresh backup has passed a drill.".to_owned());
    lines
}

/// Seconds for people: `3 h 20 min`.
fn duration(seconds: i64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
