//! The Lock and Election services of the server. Blocking calls wait without a time limit of their own.

use crate::call::{Client, Method};
use crate::error::{ClientError, Result};
use bytes::Bytes;
use quorate_proto::v3electionpb as election;
use quorate_proto::v3lockpb as lock;
use tonic::Streaming;

/// The Lock service.
#[derive(Clone)]
pub struct LockClient(Client);

/// The Election service.
#[derive(Clone)]
pub struct ElectionClient(Client);

impl Client {
    /// The Lock service.
    pub fn lock(&self) -> LockClient {
        LockClient(self.clone())
    }

    /// The Election service.
    pub fn election(&self) -> ElectionClient {
        ElectionClient(self.clone())
    }
}

impl LockClient {
    /// Waits for the lock `name` under `lease`; the answer names the key that holds it.
    pub async fn lock(&self, name: impl Into<Bytes>, lease: i64) -> Result<lock::LockResponse> {
        let request = lock::LockRequest { name: name.into(), lease };
        self.0.with_timeout(None).unary(Method::write("/v3lockpb.Lock/Lock"), request).await
    }

    /// Gives a lock back by its key.
    pub async fn unlock(&self, key: impl Into<Bytes>) -> Result<lock::UnlockResponse> {
        let request = lock::UnlockRequest { key: key.into() };
        self.0.unary(Method::write("/v3lockpb.Lock/Unlock"), request).await
    }
}

impl ElectionClient {
    /// Waits to become leader of `name` under `lease`, proclaiming `value`.
    pub async fn campaign(
        &self,
        name: impl Into<Bytes>,
        lease: i64,
        value: impl Into<Bytes>,
    ) -> Result<election::CampaignResponse> {
        let request = election::CampaignRequest { name: name.into(), lease, value: value.into() };
        let method = Method::write("/v3electionpb.Election/Campaign");
        self.0.with_timeout(None).unary(method, request).await
    }

    /// Steps down.
    pub async fn resign(&self, leader: election::LeaderKey) -> Result<election::ResignResponse> {
        let request = election::ResignRequest { leader: Some(leader) };
        self.0.unary(Method::write("/v3electionpb.Election/Resign"), request).await
    }

    /// The present leader.
    pub async fn leader(&self, name: impl Into<Bytes>) -> Result<election::LeaderResponse> {
        let request = election::LeaderRequest { name: name.into() };
        self.0.unary(Method::read("/v3electionpb.Election/Leader"), request).await
    }

    /// Every leader from now on.
    pub async fn observe(&self, name: impl Into<Bytes>) -> Result<Observe> {
        let request = election::LeaderRequest { name: name.into() };
        let method = Method::read("/v3electionpb.Election/Observe");
        let stream = self.0.with_timeout(None).server_stream(method, request).await?;
        Ok(Observe { stream, endpoint: self.0.current_endpoint() })
    }
}

/// The leaders of an election as they come.
pub struct Observe {
    stream: Streaming<election::LeaderResponse>,
    endpoint: String,
}

impl Observe {
    /// The next leader; `None` when the server ends the stream.
    pub async fn next(&mut self) -> Result<Option<election::LeaderResponse>> {
        let message = self.stream.message().await;
        message.map_err(|status| ClientError::from_status(&self.endpoint, status))
    }
}
