//! Ids of members and clusters, by etcd's SHA-1 rules (`etcd:server/etcdserver/api/membership/{member,cluster}.go`).

use sha1::{Digest, Sha1};

/// Id of a member: of its peer URLs and the cluster token.
///
/// For a member of the initial cluster `token` is the initial cluster token; for one added at run time it is
/// [`runtime_token`].
pub fn member_id<S: AsRef<str>>(peer_urls: &[S], token: &str) -> u64 {
    let mut urls: Vec<&str> = peer_urls.iter().map(AsRef::as_ref).collect();
    urls.sort_unstable();
    let mut digest = Sha1::new();
    for url in urls {
        digest.update(url);
    }
    digest.update(token);
    first_eight(digest)
}

/// Token of a member that is added to a running cluster: the time, in whole seconds since 1970, in decimal.
pub fn runtime_token(unix_seconds: u64) -> String {
    unix_seconds.to_string()
}

/// Id of a cluster: of the ids of its initial members, in any order. It never changes later.
pub fn cluster_id(members: &[u64]) -> u64 {
    let mut members = members.to_vec();
    members.sort_unstable();
    let mut digest = Sha1::new();
    for member in members {
        digest.update(member.to_be_bytes());
    }
    first_eight(digest)
}

fn first_eight(digest: Sha1) -> u64 {
    let digest = digest.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("SHA-1 gives twenty bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of a real etcd with its default settings.
    #[test]
    fn one_member_with_defaults() {
        let member = member_id(&["http://localhost:2380"], "etcd-cluster");
        assert_eq!(member, 0x8e9e_05c5_2164_694d);
        assert_eq!(cluster_id(&[member]), 0xcdf8_1819_4e3a_8c32);
    }

    /// The values of a real cluster of three, one of them with a leading zero.
    #[test]
    fn three_members() {
        let ids = [12380, 22380, 32380]
            .map(|port| member_id(&[format!("http://127.0.0.1:{port}")], "etcd-cluster"));
        assert_eq!(ids, [0xddd6_7b31_2462_fd7b, 0x9e73_7feb_b6b9_9eee, 0x0628_170c_800d_bcee]);
        assert_eq!(cluster_id(&ids), 0x7384_1b4a_9097_c907);
    }

    /// The order in which URLs are given does not matter.
    #[test]
    fn urls_are_sorted() {
        assert_eq!(
            member_id(&["http://b", "http://a"], ""),
            member_id(&["http://a", "http://b"], "")
        );
    }
}
