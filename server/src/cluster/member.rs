//! One member, in memory and as the JSON that etcd stores and replicates.

use bytes::Bytes;
use quorate_proto::etcdserverpb;
use serde::{Deserialize, Serialize};

/// A member of the cluster. Field order and names are those of etcd's JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Member id.
    pub id: u64,
    /// URLs at which other members reach it.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_as_empty")]
    pub peer_urls: Vec<String>,
    /// True while it does not vote.
    #[serde(rename = "isLearner", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_learner: bool,
    /// Name, empty until the member has published it: until it has started.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// URLs at which clients reach it, empty until published.
    #[serde(
        rename = "clientURLs",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub client_urls: Vec<String>,
}

/// Go writes a nil list as `null`.
fn null_as_empty<'de, D>(deserializer: D) -> Result<Vec<String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Member {
    /// True once the member has published its name.
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }

    /// Row key in the `members` keyspaces: lower-case hex without leading zeros.
    pub fn row_key(id: u64) -> Bytes {
        format!("{id:x}").into_bytes().into()
    }

    /// Row value.
    pub fn encode_row(&self) -> Bytes {
        serde_json::to_vec(self).expect("strings and numbers always encode").into()
    }
}

impl From<&Member> for etcdserverpb::Member {
    fn from(member: &Member) -> Self {
        etcdserverpb::Member {
            id: member.id,
            name: member.name.clone(),
            peer_ur_ls: member.peer_urls.clone(),
            client_ur_ls: member.client_urls.clone(),
            is_learner: member.is_learner,
        }
    }
}

/// Context of a configuration change: the member, and whether a learner is being promoted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfChangeContext {
    /// The member that is added or changed.
    #[serde(flatten)]
    pub member: Member,
    /// The change turns a learner into a voter.
    #[serde(rename = "isPromote", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_promote: bool,
}

/// Checks peer URLs as etcd checks them (`etcd:client/pkg/types/urls.go`): at least one, a known scheme, host and
/// port, no path.
pub fn peer_urls_are_valid(urls: &[String]) -> bool {
    !urls.is_empty() && urls.iter().all(|url| peer_url_is_valid(url))
}

fn peer_url_is_valid(url: &str) -> bool {
    let Some((scheme, rest)) = url.trim().split_once("://") else { return false };
    match scheme {
        "unix" | "unixs" => !rest.is_empty(),
        "http" | "https" => host_and_port_are_valid(rest),
        _ => false,
    }
}

fn host_and_port_are_valid(authority: &str) -> bool {
    if authority.contains(['/', '?', '#', '@']) {
        return false;
    }
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    (is_bracketed || !host.contains(':'))
        && !port.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The JSON is etcd's, field for field.
    #[test]
    fn member_json_is_etcds() {
        let mut member =
            Member { id: 7, peer_urls: vec!["http://a:1".into()], ..Member::default() };
        assert_eq!(member.encode_row(), &br#"{"id":7,"peerURLs":["http://a:1"]}"#[..]);
        member.name = "m".into();
        member.is_learner = true;
        member.client_urls = vec!["http://a:2".into()];
        let text = r#"{"id":7,"peerURLs":["http://a:1"],"isLearner":true,"name":"m","clientURLs":["http://a:2"]}"#;
        assert_eq!(member.encode_row(), text.as_bytes());
        assert_eq!(serde_json::from_str::<Member>(text).unwrap(), member);
    }

    /// A promotion carries its mark beside the member's fields.
    #[test]
    fn promotion_context_is_flat() {
        let text = r#"{"id":7,"peerURLs":null,"isPromote":true}"#;
        let context: ConfChangeContext = serde_json::from_str(text).unwrap();
        assert!(context.is_promote);
        assert_eq!(context.member.id, 7);
    }

    /// URLs with a path, without a port or of another scheme are refused.
    #[test]
    fn bad_peer_urls_are_refused() {
        for bad in ["", "127.0.0.1:2380", "http://h", "http://h:1/x", "ftp://h:1", "http://h:p"] {
            assert!(!peer_urls_are_valid(&[bad.to_owned()]), "{bad}");
        }
        assert!(!peer_urls_are_valid(&[]));
        for good in ["http://127.0.0.1:2380", "https://[::1]:1", "unix://localhost:20000"] {
            assert!(peer_urls_are_valid(&[good.to_owned()]), "{good}");
        }
    }
}
