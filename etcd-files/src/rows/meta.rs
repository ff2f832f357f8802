//! Bucket `meta`, and the texts of bucket `cluster`: keys and encodings.

use quorate_proto::raftpb;
use serde::{Deserialize, Serialize};

/// Index of the last log entry that is in the database; be64.
pub const CONSISTENT_INDEX: &[u8] = b"consistent_index";
/// Term of that entry; be64; since 3.5.
pub const TERM: &[u8] = b"term";
/// Voters and learners as of that entry; JSON; since 3.5.
pub const CONF_STATE: &[u8] = b"confState";
/// Version of the schema, for example `3.6.0`; since 3.6.
pub const STORAGE_VERSION: &[u8] = b"storageVersion";
/// Revision up to which a compaction was begun.
pub const SCHEDULED_COMPACT: &[u8] = b"scheduledCompactRev";
/// Revision up to which a compaction was ended.
pub const FINISHED_COMPACT: &[u8] = b"finishedCompactRev";
/// Key of the cluster version in bucket `cluster`.
pub const CLUSTER_VERSION: &[u8] = b"clusterVersion";

/// The storage version that Quorate writes, that of etcd 3.7.
pub const STORAGE_VERSION_WRITTEN: &str = "3.7.0";

/// Reads a be64 number.
pub fn decode_number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct ConfState {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    voters: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    learners: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    voters_outgoing: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    learners_next: Vec<u64>,
    /// Always written, as up to 3.6; 3.7 omits it when unset and reads both.
    auto_leave: bool,
}

/// The JSON under [`CONF_STATE`].
pub fn encode_conf_state(conf_state: &raftpb::ConfState) -> Vec<u8> {
    let json = ConfState {
        voters: conf_state.voters.clone(),
        learners: conf_state.learners.clone(),
        voters_outgoing: conf_state.voters_outgoing.clone(),
        learners_next: conf_state.learners_next.clone(),
        auto_leave: conf_state.auto_leave(),
    };
    serde_json::to_vec(&json).expect("numbers and a flag are always JSON")
}

/// Reads the JSON under [`CONF_STATE`].
pub fn decode_conf_state(json: &[u8]) -> Option<raftpb::ConfState> {
    let json: ConfState = serde_json::from_slice(json).ok()?;
    Some(raftpb::ConfState {
        voters: json.voters,
        learners: json.learners,
        voters_outgoing: json.voters_outgoing,
        learners_next: json.learners_next,
        auto_leave: Some(json.auto_leave),
    })
}
