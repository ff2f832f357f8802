//! One member as the rows, the log and clients know it. The JSON is `etcd-files`' business.

use bytes::Bytes;
use quorate_etcd_files::rows;
pub use quorate_etcd_files::rows::Member;
use quorate_proto::etcdserverpb;
use serde::{Deserialize, Serialize};

/// Row key in the `members` keyspaces: lower-case hex without leading zeros.
pub fn member_row_key(id: u64) -> Bytes {
    rows::member_key(id).into_bytes().into()
}

/// True once the member has published its name.
pub fn is_started(member: &Member) -> bool {
    !member.name.is_empty()
}

/// The member as clients are told of it.
pub fn to_wire(member: &Member) -> etcdserverpb::Member {
    etcdserverpb::Member {
        id: member.id,
        name: member.name.clone(),
        peer_ur_ls: member.peer_urls.clone(),
        client_ur_ls: member.client_urls.clone(),
        is_learner: member.is_learner,
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
