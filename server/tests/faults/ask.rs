//! What is asked of members: who leads, whether they agree, what has happened since revision 1.

use std::time::{Duration, Instant};

use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::{
    HashKvRequest, RangeRequest, StatusRequest, StatusResponse, WatchCreateRequest, WatchRequest,
    WatchResponse, watch_request,
};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const MESSAGE_MAX: usize = 256 << 20;

/// A connection that is made when it is first used, and made again when it broke.
pub fn channel(url: &str, limit: Duration) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    endpoint.connect_timeout(limit).timeout(limit).connect_lazy()
}

pub fn kv(url: &str, limit: Duration) -> KvClient<Channel> {
    KvClient::new(channel(url, limit)).max_decoding_message_size(MESSAGE_MAX)
}

fn maintenance(url: &str) -> MaintenanceClient<Channel> {
    MaintenanceClient::new(channel(url, Duration::from_secs(2)))
}

pub async fn status(url: &str) -> Option<StatusResponse> {
    Some(maintenance(url).status(StatusRequest::default()).await.ok()?.into_inner())
}

/// Waits for a condition; fails with what was waited for.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A member that says that it leads itself, in the newest term among those that say so.
pub async fn leader(urls: &[String], limit: Duration) -> (usize, u64) {
    until("a leader", limit, async || {
        let mut found = None;
        for (n, url) in urls.iter().enumerate() {
            let Some(status) = status(url).await else { continue };
            let itself = status.header.as_ref().map_or(0, |header| header.member_id);
            if status.leader == itself && found.is_none_or(|(_, term)| term < status.raft_term) {
                found = Some((n, status.raft_term));
            }
        }
        found
    })
    .await
}

/// The revision that all members have reached, once it is the same.
pub async fn same_revision(urls: &[String], limit: Duration) -> i64 {
    until("equal revisions", limit, async || {
        let mut revisions = Vec::new();
        for url in urls {
            revisions.push(status(url).await?.header?.revision);
        }
        revisions.iter().all(|revision| *revision == revisions[0]).then_some(revisions[0])
    })
    .await
}

/// HashKV of every member at one revision, asked at once, without waiting.
pub async fn hashes(urls: &[String], revision: i64) -> Vec<u32> {
    let mut hashes = Vec::new();
    for url in urls {
        let answer = maintenance(url).hash_kv(HashKvRequest { revision }).await;
        hashes.push(
            answer.unwrap_or_else(|error| panic!("HashKV of {url}: {error}")).into_inner().hash,
        );
    }
    hashes
}

/// All members have the same revision and the same hash at it; returns the revision.
pub async fn members_agree(urls: &[String]) -> i64 {
    let revision = same_revision(urls, Duration::from_secs(30)).await;
    let hashes = hashes(urls, revision).await;
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "revision {revision}: {hashes:?}");
    revision
}

/// A watch of everything from revision 1 on.
pub async fn watch(url: &str) -> tonic::Streaming<WatchResponse> {
    let create = WatchCreateRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        start_revision: 1,
        ..WatchCreateRequest::default()
    };
    let request =
        WatchRequest { request_union: Some(watch_request::RequestUnion::CreateRequest(create)) };
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    let mut client =
        WatchClient::new(endpoint.connect().await.unwrap()).max_decoding_message_size(MESSAGE_MAX);
    // A watch lasts as long as its requests: they must not end.
    let requests = tokio_stream::once(request).chain(tokio_stream::pending());
    client.watch(requests).await.unwrap().into_inner()
}

/// The answers of a watch up to a revision.
pub async fn watched(watch: &mut tonic::Streaming<WatchResponse>, last: i64) -> Vec<WatchResponse> {
    let mut answers = Vec::new();
    let mut reached = 0;
    while reached < last {
        let next = tokio::time::timeout(Duration::from_secs(30), watch.next()).await;
        let answer = next.unwrap_or_else(|_| panic!("the watch stays at {reached} of {last}"));
        let answer = answer.expect("a watch goes on").expect("a watch does not fail");
        assert!(!answer.canceled, "the watch was cancelled: {}", answer.cancel_reason);
        reached = answer
            .events
            .last()
            .and_then(|event| event.kv.as_ref())
            .map_or(reached, |kv| kv.mod_revision);
        answers.push(answer);
    }
    answers
}

/// The value of a key as one member knows it.
pub async fn get(
    url: &str,
    key: &str,
    serializable: bool,
    limit: Duration,
) -> Result<Option<String>, tonic::Status> {
    let range =
        RangeRequest { key: key.to_owned().into(), serializable, ..RangeRequest::default() };
    let answer = kv(url, limit).range(range).await?.into_inner();
    Ok(answer.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
}
