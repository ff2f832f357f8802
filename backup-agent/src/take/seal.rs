//! Seals a verified snapshot: gives it its id and states the facts about it. Nothing is sent or written here.

use jiff::Timestamp;

use super::survey::{MemberState, Survey};
use super::verify::SnapshotContent;
use crate::backup_id::BackupId;
use crate::manifest::{Manifest, MemberFacts, Proof, SnapshotFacts, Source, Verdict};

/// Who gave a snapshot, and the cluster around it.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Cluster id, hexadecimal.
    pub cluster_id: String,
    /// The member.
    pub source: Source,
    /// The members.
    pub members: Vec<MemberFacts>,
    /// The alarms.
    pub alarms: Vec<String>,
}

impl Provenance {
    /// States where a streamed snapshot came from.
    pub fn of_member(survey: &Survey, state: &MemberState, content: &SnapshotContent) -> Self {
        let member_name = survey.member(state.member_id).map(|member| member.name.clone());
        Self {
            cluster_id: format!("{:x}", state.cluster_id),
            source: Source {
                endpoint: state.endpoint.clone(),
                member_id: format!("{:x}", state.member_id),
                member_name: member_name.unwrap_or_default(),
                is_leader: state.is_leader,
                server_version: state.version.clone(),
                cluster_version: content.cluster_version.clone(),
                storage_version: state.storage_version.clone(),
            },
            members: survey.members.clone(),
            alarms: survey.alarms.clone(),
        }
    }
}

/// Builds the manifest of a snapshot that is not in the store yet.
pub fn seal(
    provenance: Provenance,
    content: &SnapshotContent,
    (size_bytes, sha256): (u64, String),
    started_at: Timestamp,
) -> Manifest {
    let Provenance { cluster_id, source, members, alarms } = provenance;
    let id = BackupId::new(started_at, content.revision, rand::random());
    Manifest {
        snapshot: SnapshotFacts {
            object: id.snapshot_object(&cluster_id),
            size_bytes,
            sha256,
            database_sha256: content.database_sha256.clone(),
            revision: content.revision,
            compact_revision: content.compact_revision,
            total_keys: content.total_keys,
            status_hash: content.status_hash,
            hash_kv: content.hash_kv,
        },
        id,
        cluster_id,
        source,
        proof: Proof { verdict: Verdict::Unconfirmed, answers: Vec::new() },
        members,
        alarms,
        started_at,
        finished_at: started_at,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
