//! Members as etcd stores them in bucket `members` and in the context of configuration changes.

use serde::{Deserialize, Deserializer, Serialize};

/// One member; JSON as Go's encoder writes it (`etcd:server/etcdserver/api/membership/member.go`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's id.
    pub id: u64,
    /// Where the other members reach it.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_is_empty")]
    pub peer_urls: Vec<String>,
    /// It does not vote.
    #[serde(rename = "isLearner", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_learner: bool,
    /// Its name; empty until it has published itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients reach it; empty until it has published itself.
    #[serde(
        rename = "clientURLs",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub client_urls: Vec<String>,
}

impl Member {
    /// The JSON that etcd would write.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts are always JSON")
    }

    /// Reads etcd's JSON; unknown fields, such as `isPromote` of a promotion, are passed over.
    pub fn from_json(json: &[u8]) -> Option<Member> {
        serde_json::from_slice(json).ok()
    }
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::<Vec<String>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Key of a member in the buckets `members` and `members_removed`: lower-case hex without leading zeros.
pub fn member_key(id: u64) -> String {
    format!("{id:x}")
}

/// Reads such a key.
pub fn parse_member_key(key: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok()
}
