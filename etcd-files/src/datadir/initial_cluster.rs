//! The members that a cluster begins with: from `--initial-cluster` to ids. The texts of errors are etcd's
//! (`etcd:client/pkg/types/urls.go`, `etcd:server/config/config.go`).

use std::collections::BTreeMap;

use quorate_proto::raftpb;

use crate::error::{Error, Result};
use crate::ids;
use crate::rows::Member;

/// Peer URLs by member name, sorted, as `--initial-cluster` gives them.
pub type InitialUrls = BTreeMap<String, Vec<String>>;

/// The members of a new cluster with their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialCluster {
    /// Ascending by id.
    pub members: Vec<Member>,
    /// Id of the cluster.
    pub cluster_id: u64,
}

fn refused(text: String) -> Error {
    Error::Refused(text)
}

/// Checks a comma-separated list of peer or client URLs and sorts it, as etcd's `types.NewURLs` does.
pub fn parse_urls(list: &str) -> Result<Vec<String>> {
    let mut urls = Vec::new();
    for url in list.split(',') {
        urls.push(check_url(url.trim())?);
    }
    urls.sort_unstable();
    Ok(urls)
}

fn check_url(url: &str) -> Result<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(refused(format!("URL scheme must be http, https, unix, or unixs: {url}")));
    };
    match scheme {
        "unix" | "unixs" => return Ok(url.to_owned()),
        "http" | "https" => {}
        _ => {
            return Err(refused(format!("URL scheme must be http, https, unix, or unixs: {url}")));
        }
    }
    let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let port = address.rsplit_once(':').map(|(_, port)| port);
    // The colons of an IPv6 address without port are within its brackets.
    if !port.is_some_and(|port| !port.is_empty() && !port.contains(']')) {
        return Err(refused(format!(r#"URL address does not have the form "host:port": {url}"#)));
    }
    if !path.is_empty() {
        return Err(refused(format!("URL must not contain a path: {url}")));
    }
    Ok(url.to_owned())
}

impl InitialCluster {
    /// Reads `name=url,name=url,…`; a name may come more than once, with one URL each.
    pub fn parse(text: &str) -> Result<InitialUrls> {
        let mut by_name = InitialUrls::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, url) = part.split_once('=').unwrap_or((part, ""));
            if url.is_empty() {
                return Err(refused(format!("empty URL given for \"{name}\"")));
            }
            by_name.entry(name.to_owned()).or_default().push(check_url(url)?);
        }
        for urls in by_name.values_mut() {
            urls.sort_unstable();
        }
        Ok(by_name)
    }

    /// Gives the members their ids. Fails where two would be the same, or one URL is given twice.
    pub fn new(urls: &InitialUrls, token: &str) -> Result<InitialCluster> {
        let mut members = Vec::with_capacity(urls.len());
        for (name, urls) in urls {
            let id = ids::member_id(urls, token);
            members.push(Member {
                id,
                peer_urls: urls.clone(),
                name: name.clone(),
                ..Member::default()
            });
        }
        members.sort_by_key(|member| member.id);
        if let Some(pair) = members.windows(2).find(|pair| pair[0].id == pair[1].id) {
            let text =
                format!("member exists with identical ID {:x} ({})", pair[0].id, pair[1].name);
            return Err(refused(text));
        }
        let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
        Ok(InitialCluster { cluster_id: ids::cluster_id(&ids), members })
    }

    /// The member with this name.
    pub fn member_named(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// All members as voters.
    pub fn conf_state(&self) -> raftpb::ConfState {
        raftpb::ConfState {
            voters: self.members.iter().map(|member| member.id).collect(),
            auto_leave: Some(false),
            ..Default::default()
        }
    }
}

/// Checks that `name` is in the cluster with the URLs it advertises, and no URL is there twice (`VerifyBootstrap`).
///
/// etcd also accepts URLs that differ in text but resolve to the same addresses; there is no network here, so the
/// texts must agree.
pub fn check_local_member(cluster: &InitialUrls, name: &str, advertised: &[String]) -> Result<()> {
    let Some(urls) = cluster.get(name) else {
        let text =
            format!("couldn't find local name {name:?} in the initial cluster configuration");
        return Err(refused(text));
    };
    let named = |urls: Vec<&String>| {
        urls.into_iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(",")
    };
    let missing: Vec<&String> = urls.iter().filter(|url| !advertised.contains(url)).collect();
    if !missing.is_empty() {
        return Err(refused(format!(
            "--initial-cluster has {} but missing from --initial-advertise-peer-urls={}",
            named(missing),
            advertised.join(",")
        )));
    }
    let missing: Vec<&String> = advertised.iter().filter(|url| !urls.contains(url)).collect();
    if !missing.is_empty() {
        let text = missing.into_iter().cloned().collect::<Vec<_>>().join(",");
        return Err(refused(format!(
            "--initial-advertise-peer-urls has {text} but missing from --initial-cluster={}",
            named(advertised.iter().collect())
        )));
    }
    let mut seen = std::collections::BTreeSet::new();
    if cluster.values().flatten().any(|url| !seen.insert(url)) {
        let all = cluster
            .iter()
            .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
        let all = all.collect::<Vec<_>>().join(",");
        return Err(refused(format!("initial cluster {all} has duplicate url")));
    }
    Ok(())
}
