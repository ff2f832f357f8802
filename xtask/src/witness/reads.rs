//! What is asked of a cluster afterwards: who leads, what is in it, and whether its members agree.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{HashKvRequest, RangeRequest, StatusRequest, StatusResponse};
use quorate_proto::mvccpb::KeyValue;
use tonic::transport::{Channel, Endpoint};

const ANSWER_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

async fn channel(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    Ok(endpoint.connect_timeout(ANSWER_MAX).timeout(ANSWER_MAX).connect().await?)
}

async fn status(url: &str) -> Result<StatusResponse> {
    let mut client = MaintenanceClient::new(channel(url).await?);
    Ok(client.status(StatusRequest::default()).await?.into_inner())
}

/// The client URL of the member that says it leads; waits for one within the limit.
pub async fn leader(urls: &[String], limit: Duration) -> Result<String> {
    let start = Instant::now();
    loop {
        for url in urls {
            if let Ok(status) = status(url).await {
                let itself = status.header.map_or(0, |header| header.member_id);
                if status.leader != 0 && status.leader == itself {
                    return Ok(url.clone());
                }
            }
        }
        if start.elapsed() > limit {
            bail!("no member of {} leads after {limit:?}", urls.join(", "));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// All keys under a prefix, as they were at a revision (0: now), by a linearizable read.
pub async fn keys(url: &str, prefix: &str, revision: i64) -> Result<Vec<KeyValue>> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().context("a prefix is not empty")? += 1;
    let range = RangeRequest {
        key: prefix.to_owned().into(),
        range_end: end.into(),
        revision,
        ..RangeRequest::default()
    };
    let mut client = KvClient::new(channel(url).await?).max_decoding_message_size(256 << 20);
    Ok(client.range(range).await?.into_inner().kvs)
}

/// The counters that keys hold.
pub fn counters(keys: &[KeyValue]) -> Result<BTreeMap<String, u64>> {
    let pair = |kv: &KeyValue| {
        let key = String::from_utf8(kv.key.to_vec())?;
        let value = std::str::from_utf8(&kv.value)?.parse().with_context(|| key.clone())?;
        Ok((key, value))
    };
    keys.iter().map(pair).collect()
}

/// Waits until all members have the same revision, then compares their HashKV at it.
pub async fn members_agree(urls: &[String], limit: Duration) -> Result<i64> {
    let revision = same_revision(urls, limit).await?;
    let mut hashes = Vec::new();
    for url in urls {
        let mut client = MaintenanceClient::new(channel(url).await?);
        hashes.push(client.hash_kv(HashKvRequest { revision }).await?.into_inner().hash);
    }
    if hashes.windows(2).any(|pair| pair[0] != pair[1]) {
        bail!("HashKV at revision {revision} differs between members: {hashes:?}");
    }
    Ok(revision)
}

async fn same_revision(urls: &[String], limit: Duration) -> Result<i64> {
    let start = Instant::now();
    loop {
        let mut revisions = Vec::new();
        for url in urls {
            let header = status(url).await.ok().and_then(|status| status.header);
            revisions.push(header.map_or(0, |header| header.revision));
        }
        if revisions[0] > 0 && revisions.iter().all(|revision| *revision == revisions[0]) {
            return Ok(revisions[0]);
        }
        if start.elapsed() > limit {
            bail!("revisions still differ after {limit:?}: {revisions:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
