//! Joining a cluster that runs: its members tell who belongs to it, and that must be what the flags say.
//!
//! Asked over HTTP at the peer URLs, as etcd does it (`/members`, cluster id in a header), with TLS where they have it.

use super::error::{Context as _, Result, refuse};
use crate::tls::TlsDialer;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use quorate_etcd_files::datadir::{InitialCluster, InitialUrls};
use quorate_etcd_files::rows::Member;
use std::time::Duration;

/// Header with the cluster id in hex.
pub(super) const CLUSTER_ID_HEADER: &str = "x-etcd-cluster-id";
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Time a member has to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Sends a `GET`; the connection lives as long as the answer is read.
async fn get(dialer: &TlsDialer, peer_url: &str, path: &str) -> Result<Response<Incoming>> {
    let socket = dialer.dial(peer_url, b"http/1.1", ANSWER_TIME).await.context("no connection")?;
    let host = peer_url.split_once("://").map_or(peer_url, |(_, address)| address);
    let request = Request::get(path)
        .header(http::header::HOST, host)
        .body(Empty::<Bytes>::new())
        .context("peer URL cannot be asked")?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(socket)).await.context("no answer")?;
    tokio::spawn(driver);
    let answer = tokio::time::timeout(ANSWER_TIME, sender.send_request(request)).await;
    answer.context("no answer in time")?.context("no answer")
}

/// Asks one member for the list of members.
async fn ask(dialer: &TlsDialer, peer_url: &str) -> Result<(u64, Vec<Member>)> {
    let response = get(dialer, peer_url, "/members").await?;
    let id = response
        .headers()
        .get(CLUSTER_ID_HEADER)
        .ok_or("no cluster id in the answer")
        .context("answer")?;
    let cluster_id = u64::from_str_radix(id.to_str().unwrap_or_default(), 16)
        .context("cluster id is no hex number")?;
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    let body = tokio::time::timeout(ANSWER_TIME, body).await.context("answer broke off")?;
    let body = body.context("answer broke off")?.to_bytes();
    Ok((cluster_id, serde_json::from_slice(&body).context("answer is no list of members")?))
}

/// Finds the cluster that `existing` means, and this member in it by its peer URLs.
///
/// # Errors
/// No member answers, or the running cluster is not the one of the flags.
pub(super) async fn find_cluster(
    dialer: &TlsDialer,
    urls: &InitialUrls,
    advertised: &[String],
) -> Result<(InitialCluster, u64)> {
    let mut reason = "--initial-cluster names no other member".to_owned();
    for peer_url in urls.values().flatten().filter(|url| !advertised.contains(url)) {
        match ask(dialer, peer_url).await {
            Ok((cluster_id, members)) => return check(cluster_id, members, urls, advertised),
            Err(error) => reason = format!("{peer_url}: {error}"),
        }
    }
    refuse!(
        "cannot fetch cluster info from peer urls: {reason}. Is the cluster up, and is \
         --initial-cluster-state=existing right?"
    )
}

fn check(
    cluster_id: u64,
    mut members: Vec<Member>,
    urls: &InitialUrls,
    advertised: &[String],
) -> Result<(InitialCluster, u64)> {
    if members.len() != urls.len() {
        refuse!(
            "member count is unequal: the cluster has {}, --initial-cluster {}. Use the line that `member add` printed.",
            members.len(),
            urls.len()
        );
    }
    for wanted in urls.values() {
        let is_known = members.iter().any(|member| same_urls(&member.peer_urls, wanted));
        if !is_known {
            refuse!("unmatched member while checking PeerURLs: no member has {}", wanted.join(","));
        }
    }
    let Some(own) = members.iter().find(|member| same_urls(&member.peer_urls, advertised)) else {
        refuse!(
            "no member of the cluster has the peer URLs {}. Run `member add` first.",
            advertised.join(",")
        );
    };
    let id = own.id;
    members.sort_by_key(|member| member.id);
    Ok((InitialCluster { members, cluster_id }, id))
}

fn same_urls(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().all(|url| right.contains(url))
}

/// A `new` start is refused where a running member knows this one as started: its data was lost, and as a new member
/// it could vote a second time for what it has forgotten.
///
/// # Errors
/// The cluster runs already with this member in it.
pub(super) async fn refuse_if_bootstrapped(
    dialer: &TlsDialer,
    cluster: &InitialCluster,
    id: u64,
) -> Result<()> {
    let others = cluster.members.iter().filter(|member| member.id != id);
    let asked = others
        .flat_map(|member| &member.peer_urls)
        .map(|url| async move { ask(dialer, url).await.ok() });
    let answers = futures::future::join_all(asked).await;
    for (cluster_id, members) in answers.into_iter().flatten() {
        let is_started =
            members.iter().any(|member| member.id == id && !member.client_urls.is_empty());
        if cluster_id == cluster.cluster_id && is_started {
            refuse!(
                "member {id:x} has already been bootstrapped. Its data is not here: remove the member, add it again \
                 and start it with --initial-cluster-state=existing."
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, url: &str) -> Member {
        Member { id, peer_urls: vec![url.to_owned()], ..Member::default() }
    }

    /// The running cluster and the flags must agree, and this member must have been added.
    #[test]
    fn flags_must_describe_the_running_cluster() {
        let urls: InitialUrls = [("a", "http://h:1"), ("b", "http://h:2")]
            .map(|(n, u)| (n.to_owned(), vec![u.to_owned()]))
            .into();
        let own = vec!["http://h:2".to_owned()];
        let members = vec![member(9, "http://h:2"), member(3, "http://h:1")];
        let (cluster, id) = check(7, members.clone(), &urls, &own).unwrap();
        assert_eq!((id, cluster.cluster_id, cluster.members[0].id), (9, 7, 3));
        assert!(check(7, members[..1].to_vec(), &urls, &own).is_err());
        let other = vec![member(9, "http://h:2"), member(3, "http://h:4")];
        assert!(check(7, other, &urls, &own).is_err());
    }
}
