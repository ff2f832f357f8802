//! One client and the single operations it can do.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{
    Compare, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, StatusRequest, TxnRequest,
};
use tonic::transport::{Channel, Endpoint};

use super::case::Work;

/// Bytes of every value.
pub const VALUE_BYTES: usize = 256;
/// Keys that puts spread over.
const PUT_KEYS: u64 = 100_000;
/// Keys loaded beforehand for gets.
pub const GET_KEYS: u64 = 10_000;
/// Keys loaded beforehand for ranges: all in one answer.
pub const RANGE_KEYS: u64 = 1_000;
/// Leases live long enough that none expires during a run.
const LEASE_TTL_SECONDS: i64 = 600;
/// What a client will receive in one HTTP/2 flow-control window: a range of 1,000 keys does not wait for updates.
const WINDOW_BYTES: u32 = 1 << 20;
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// Opens `n` connections, spread over the endpoints.
pub async fn connect(urls: &[String], n: usize) -> Result<Vec<Channel>> {
    let mut channels = Vec::with_capacity(n);
    for url in urls.iter().cycle().take(n) {
        let endpoint = Endpoint::from_shared(url.clone())?
            .connect_timeout(Duration::from_secs(5))
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(4 * WINDOW_BYTES);
        channels.push(endpoint.connect().await.with_context(|| format!("connect to {url}"))?);
    }
    Ok(channels)
}

/// The endpoints with the leader's in front: a lone client asks the leader, of either server.
pub async fn leader_first(mut urls: Vec<String>) -> Result<Vec<String>> {
    let mut leader = 0;
    for (n, channel) in connect(&urls, urls.len()).await?.into_iter().enumerate() {
        let status = MaintenanceClient::new(channel).status(StatusRequest::default()).await?;
        let status = status.into_inner();
        if status.header.is_some_and(|header| header.member_id == status.leader) {
            leader = n;
        }
    }
    urls.swap(0, leader);
    Ok(urls)
}

pub fn key(kind: &str, n: u64) -> Bytes {
    format!("bench/{kind}/{n:08}").into()
}

pub fn value() -> Bytes {
    vec![b'v'; VALUE_BYTES].into()
}

pub fn put(key: Bytes, value: Bytes, lease: i64) -> PutRequest {
    PutRequest { key, value, lease, ..PutRequest::default() }
}

/// One closed-loop client.
pub struct Client {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    value: Bytes,
    random: u64,
    /// The key that only this client compares and puts, and its last revision.
    own: Bytes,
    own_revision: i64,
}

impl Client {
    pub fn new(channel: Channel, n: usize) -> Self {
        // A key of an earlier case would have another revision than 0, so the clock makes the name new.
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(ANSWER_MAX_BYTES),
            lease: LeaseClient::new(channel),
            value: value(),
            random: n as u64 + 1,
            own: format!("bench/txn/{now}/{n:08}").into(),
            own_revision: 0,
        }
    }

    /// Does one operation of a kind and waits for its answer.
    pub async fn once(&mut self, work: Work) -> Result<()> {
        match work {
            Work::Put => self.put_one(0).await,
            Work::Get => self.get(false).await,
            Work::GetSerializable => self.get(true).await,
            Work::Range => self.range().await,
            Work::Txn => self.compare_and_put().await,
            Work::Lease => self.grant_and_put().await,
            Work::Watch => bail!("watching is driven by `fanout`"),
            Work::Mixed => match self.next(10) {
                0..5 => self.get(false).await,
                5..7 => self.get(true).await,
                7..9 => self.put_one(0).await,
                _ => self.compare_and_put().await,
            },
        }
    }

    /// A number below `bound`: splitmix64, so that a run is the same on both servers.
    fn next(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    async fn put_one(&mut self, lease: i64) -> Result<()> {
        let key = key("put", self.next(PUT_KEYS));
        self.kv.put(put(key, self.value.clone(), lease)).await?;
        Ok(())
    }

    async fn get(&mut self, serializable: bool) -> Result<()> {
        let key = key("get", self.next(GET_KEYS));
        self.kv.range(RangeRequest { key, serializable, ..RangeRequest::default() }).await?;
        Ok(())
    }

    async fn range(&mut self) -> Result<()> {
        let request = RangeRequest {
            key: "bench/range/".into(),
            range_end: "bench/range0".into(),
            ..RangeRequest::default()
        };
        let answer = self.kv.range(request).await?.into_inner();
        if answer.kvs.len() as u64 != RANGE_KEYS {
            bail!("a range of {RANGE_KEYS} keys gave {}", answer.kvs.len());
        }
        Ok(())
    }

    async fn compare_and_put(&mut self) -> Result<()> {
        let compare = Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: self.own.clone(),
            target_union: Some(TargetUnion::ModRevision(self.own_revision)),
            ..Compare::default()
        };
        let put = Request::RequestPut(put(self.own.clone(), self.value.clone(), 0));
        let request = TxnRequest {
            compare: vec![compare],
            success: vec![RequestOp { request: Some(put) }],
            failure: vec![],
        };
        let answer = self.kv.txn(request).await?.into_inner();
        if !answer.succeeded {
            bail!("a key that only one client writes had another revision than its last");
        }
        self.own_revision = answer.header.context("an answer without a header")?.revision;
        Ok(())
    }

    async fn grant_and_put(&mut self) -> Result<()> {
        let grant = LeaseGrantRequest { ttl: LEASE_TTL_SECONDS, id: 0 };
        let lease = self.lease.lease_grant(grant).await?.into_inner();
        self.put_one(lease.id).await
    }
}
