//! The manifest: facts about one backup, written last. A backup counts only once its manifest is in the store.
//!
//! On disk it is an envelope `{"format": …, "format_version": …, "sha256": …, "manifest": {…}}`; the hash is over
//! the exact text of the inner object, so that a changed or cut manifest is refused. A newer format is refused
//! too: unknown facts must not be guessed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::backup_id::BackupId;
use crate::error::{AgentError, Result};

/// Marks the file as ours.
const FORMAT: &str = "quorate-backup-manifest";
/// Format version this program writes, and the newest it reads.
const FORMAT_VERSION: u32 = 1;
/// Largest manifest accepted, in bytes; a real one has about 2 KiB.
pub const MANIFEST_SIZE_MAX: u64 = 1 << 20;

/// Facts about one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Backup id.
    pub id: BackupId,
    /// Cluster the snapshot is of, hexadecimal as etcd prints it.
    pub cluster_id: String,
    /// Who gave the snapshot.
    pub source: Source,
    /// The snapshot file.
    pub snapshot: SnapshotFacts,
    /// What the other members said of the same revision.
    pub proof: Proof,
    /// The cluster's members at that time.
    pub members: Vec<MemberFacts>,
    /// Alarms raised at that time, for example `NOSPACE`. A restore raises them again.
    pub alarms: Vec<String>,
    /// Start of the run.
    pub started_at: Timestamp,
    /// When the snapshot was in the store, read back.
    pub finished_at: Timestamp,
    /// Version of the program that wrote this.
    pub tool_version: String,
}

/// Where a snapshot came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Endpoint that streamed it, or the data directory it was rescued from.
    pub endpoint: String,
    /// Member id, hexadecimal.
    pub member_id: String,
    /// Member name.
    pub member_name: String,
    /// True when that member led the cluster.
    pub is_leader: bool,
    /// Server version, for example `3.7.1`.
    pub server_version: String,
    /// Cluster version, for example `3.7.0`; empty when not known.
    pub cluster_version: String,
    /// Storage version, for example `3.7.0`; empty before 3.6.
    pub storage_version: String,
}

/// The snapshot file, as it is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// Object name, relative to the store.
    pub object: String,
    /// File size in bytes, digest included.
    pub size_bytes: u64,
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// SHA-256 of the database alone: the digest at the end of the file.
    pub database_sha256: String,
    /// Newest revision in it.
    pub revision: i64,
    /// Compact revision, -1 for a store never compacted.
    pub compact_revision: i64,
    /// Live keys.
    pub total_keys: u64,
    /// The hash `etcdutl snapshot status` prints.
    pub status_hash: u32,
    /// HashKV at `revision`, computed from the file.
    pub hash_kv: u32,
}

/// Whether other members confirm the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Summary over all members asked.
    pub verdict: Verdict,
    /// One answer per member.
    pub answers: Vec<HashAnswer>,
}

/// Summary of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At least one other member has the same hash, and none another.
    Confirmed,
    /// No other member could be compared: there is none, none answered, or all had compacted further.
    Unconfirmed,
    /// A member has another hash at the same revision: one of the two is corrupt. Such a backup does not count.
    Disputed,
}

/// What one member answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashAnswer {
    /// Endpoint asked.
    pub endpoint: String,
    /// Member id, hexadecimal.
    pub member_id: String,
    /// Comparison.
    pub outcome: HashOutcome,
    /// Hash it gave.
    pub hash: Option<u32>,
    /// Compact revision its hash is for.
    pub compact_revision: Option<i64>,
    /// Why it could not be compared.
    pub detail: Option<String>,
}

/// Outcome of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOutcome {
    /// Same hash for the same revision and compact revision.
    Equal,
    /// Another hash for the same revision and compact revision.
    Different,
    /// No answer that could be compared.
    NotComparable,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFacts {
    /// Member id, hexadecimal.
    pub id: String,
    /// Name; empty for one that never started.
    pub name: String,
    /// Peer URLs.
    pub peer_urls: Vec<String>,
    /// Client URLs.
    pub client_urls: Vec<String>,
    /// True for a learner.
    pub is_learner: bool,
}

#[derive(Serialize)]
struct EnvelopeOut<'a> {
    format: &'a str,
    format_version: u32,
    sha256: String,
    manifest: &'a RawValue,
}

#[derive(Deserialize)]
struct EnvelopeIn<'a> {
    format: String,
    format_version: u32,
    sha256: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

impl Manifest {
    /// True when this backup counts for retention and as `latest`: nothing contradicts it.
    pub fn is_counted(&self) -> bool {
        self.proof.verdict != Verdict::Disputed
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let inner = serde_json::value::to_raw_value(self).expect("a manifest is plain data");
        let envelope = EnvelopeOut {
            format: FORMAT,
            format_version: FORMAT_VERSION,
            sha256: hex(&Sha256::digest(inner.get())),
            manifest: &inner,
        };
        let mut bytes = serde_json::to_vec(&envelope).expect("a manifest is plain data");
        bytes.push(b'\n');
        bytes
    }

    /// Reads stored bytes. `name` is the object's, for the error text.
    ///
    /// # Errors
    /// [`AgentError::Integrity`] for a foreign, newer, changed or cut manifest.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |what: String| AgentError::damaged(format!("manifest {name} {what}"));
        let envelope: EnvelopeIn<'_> = serde_json::from_slice(bytes)
            .map_err(|error| damaged(format!("is no manifest: {error}")))?;
        if envelope.format != FORMAT {
            return Err(damaged(format!("has the foreign format \"{}\"", envelope.format)));
        }
        if envelope.format_version > FORMAT_VERSION {
            return Err(AgentError::Integrity {
                what: format!(
                    "manifest {name} has format version {}, this program reads up to {FORMAT_VERSION}",
                    envelope.format_version
                ),
                hint: "Use the newer quorate-backup-agent that wrote it.".into(),
            });
        }
        let sha256 = hex(&Sha256::digest(envelope.manifest.get()));
        if sha256 != envelope.sha256 {
            return Err(damaged(format!(
                "was changed: its text hashes to {sha256}, it says {}",
                envelope.sha256
            )));
        }
        serde_json::from_str(envelope.manifest.get())
            .map_err(|error| damaged(format!("lacks facts: {error}")))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A manifest with plausible facts.
    pub fn sample(id: &str) -> Manifest {
        Manifest {
            id: id.parse().expect("an id"),
            cluster_id: "cdf818194e3a8c32".into(),
            source: Source {
                endpoint: "http://127.0.0.1:2379".into(),
                member_id: "8e9e05c52164694d".into(),
                member_name: "m1".into(),
                is_leader: false,
                server_version: "3.7.1".into(),
                cluster_version: "3.7.0".into(),
                storage_version: "3.7.0".into(),
            },
            snapshot: SnapshotFacts {
                object: "cdf818194e3a8c32/x.db".into(),
                size_bytes: 20_512,
                sha256: "00".repeat(32),
                database_sha256: "11".repeat(32),
                revision: 7,
                compact_revision: -1,
                total_keys: 3,
                status_hash: 1,
                hash_kv: 2,
            },
            proof: Proof { verdict: Verdict::Confirmed, answers: vec![] },
            members: vec![],
            alarms: vec![],
            started_at: "2026-11-21T08:58:57Z".parse().expect("a timestamp"),
            finished_at: "2026-11-21T08:58:59Z".parse().expect("a timestamp"),
            tool_version: "0.1.0".into(),
        }
    }

    const ID: &str = "20261121T085857Z-7-0123abcd";

    /// What was written is read back equal.
    #[test]
    fn round_trip() {
        let manifest = sample(ID);
        assert_eq!(Manifest::decode("m", &manifest.encode()).expect("reads"), manifest);
    }

    /// Any changed byte is noticed, wherever it is.
    #[test]
    fn every_changed_byte_is_refused() {
        let good = sample(ID).encode();
        for position in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[position] ^= 0x04;
            let decoded = Manifest::decode("m", &bad);
            assert!(decoded.is_err(), "byte {position}: {:?}", String::from_utf8_lossy(&bad));
            assert_eq!(decoded.expect_err("refused").exit_code(), 3);
        }
        assert!(Manifest::decode("m", &good[..good.len() / 2]).is_err(), "a cut manifest");
    }

    /// A manifest of a newer format says which program to use.
    #[test]
    fn a_newer_format_is_refused() {
        let text = String::from_utf8(sample(ID).encode()).expect("text");
        let newer = text.replacen("\"format_version\":1", "\"format_version\":2", 1);
        let error = Manifest::decode("m", newer.as_bytes()).expect_err("refused");
        assert!(error.hint().is_some_and(|hint| hint.contains("newer")), "{error}");
    }
}
