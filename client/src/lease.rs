//! The Lease service: grant, revoke, time to live, list, and keeping a lease alive.

use crate::call::{Client, Method};
use crate::error::{ClientError, Result};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb as pb;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// Requests waiting to be sent on a keep-alive stream: one at a time is ever due.
const REQUEST_QUEUE: usize = 4;

/// Pause before a broken keep-alive stream is opened again (Go's client waits as long).
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Longest wait for the answer to one keep-alive before the stream counts as broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The Lease service. Errors are the server's.
#[derive(Clone)]
pub struct LeaseClient(Client);

impl Client {
    /// The Lease service.
    pub fn lease(&self) -> LeaseClient {
        LeaseClient(self.clone())
    }
}

impl LeaseClient {
    /// Grants a lease of `ttl` seconds; `id` 0 lets the server choose.
    pub async fn grant(&self, ttl: i64, id: i64) -> Result<pb::LeaseGrantResponse> {
        let method = Method::write("/etcdserverpb.Lease/LeaseGrant");
        self.0.unary(method, pb::LeaseGrantRequest { ttl, id }).await
    }

    /// Revokes a lease and deletes its keys.
    pub async fn revoke(&self, id: i64) -> Result<pb::LeaseRevokeResponse> {
        let method = Method::write("/etcdserverpb.Lease/LeaseRevoke");
        self.0.unary(method, pb::LeaseRevokeRequest { id }).await
    }

    /// Remaining and granted time, with `keys` also the attached keys. A lease that is gone has TTL -1.
    pub async fn time_to_live(&self, id: i64, keys: bool) -> Result<pb::LeaseTimeToLiveResponse> {
        let method = Method::read("/etcdserverpb.Lease/LeaseTimeToLive");
        self.0.unary(method, pb::LeaseTimeToLiveRequest { id, keys }).await
    }

    /// All leases.
    pub async fn list(&self) -> Result<pb::LeaseLeasesResponse> {
        let method = Method::read("/etcdserverpb.Lease/LeaseLeases");
        self.0.unary(method, pb::LeaseLeasesRequest {}).await
    }

    /// Renews a lease once.
    ///
    /// # Errors
    /// [`EtcdError::LeaseNotFound`] if it is gone.
    pub async fn keep_alive_once(&self, id: i64) -> Result<pb::LeaseKeepAliveResponse> {
        let mut keeper = self.keep_alive(id);
        loop {
            match keeper.renew().await {
                Ok(answer) if answer.ttl <= 0 => {
                    let status = Box::new(EtcdError::LeaseNotFound.into());
                    let endpoint = self.0.current_endpoint();
                    return Err(ClientError::Server { endpoint, status, unsent: false });
                }
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_retryable() => {
                    keeper.stream = None;
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps a lease alive for as long as [`KeepAlive::next`] is called.
    pub fn keep_alive(&self, id: i64) -> KeepAlive {
        let now = Instant::now();
        KeepAlive { client: self.0.clone(), id, stream: None, due: now, expires: None }
    }
}

type Link = (mpsc::Sender<pb::LeaseKeepAliveRequest>, Streaming<pb::LeaseKeepAliveResponse>);

/// Renews one lease every third of its TTL, over a stream that is reopened when it breaks.
pub struct KeepAlive {
    client: Client,
    id: i64,
    stream: Option<Link>,
    due: Instant,
    expires: Option<Instant>,
}

impl KeepAlive {
    /// Waits until the lease is due and renews it; `None` once it is gone, or could not be renewed within its TTL.
    ///
    /// # Errors
    /// Those that trying again cannot mend, such as a refused permission.
    pub async fn next(&mut self) -> Result<Option<pb::LeaseKeepAliveResponse>> {
        loop {
            tokio::time::sleep_until(self.due).await;
            let renewed = match self.expires {
                // An answer that comes after the lease has ended is of no use to anybody.
                Some(expires) => match tokio::time::timeout_at(expires, self.renew()).await {
                    Ok(renewed) => renewed,
                    Err(_) => {
                        self.stream = None;
                        return Ok(None);
                    }
                },
                None => self.renew().await,
            };
            match renewed {
                Ok(answer) if answer.ttl <= 0 => return Ok(None),
                Ok(answer) => {
                    let ttl = Duration::from_secs(answer.ttl.unsigned_abs());
                    self.due = Instant::now() + ttl / 3;
                    self.expires = Some(Instant::now() + ttl);
                    return Ok(Some(answer));
                }
                Err(error) if error.is_retryable() || error.code() == tonic::Code::Cancelled => {
                    self.stream = None;
                    self.due = Instant::now() + RECONNECT_PAUSE;
                    if self.expires.is_some_and(|expires| self.due >= expires) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One request and its answer.
    async fn renew(&mut self) -> Result<pb::LeaseKeepAliveResponse> {
        let broken = |status: tonic::Status, client: &Client| {
            ClientError::from_status(&client.current_endpoint(), status)
        };
        let request = pb::LeaseKeepAliveRequest { id: self.id };
        if self.stream.is_none() {
            let (sender, receiver) = mpsc::channel(REQUEST_QUEUE);
            // The first request goes into the queue before the stream is opened: some servers answer the opening
            // only after it.
            let _ = sender.try_send(request);
            let requests = ReceiverStream::new(receiver);
            let (_, stream) = self.client.bidi_stream(KEEP_ALIVE, requests).await?;
            self.stream = Some((sender, stream));
        } else if let Some((sender, _)) = &self.stream
            && sender.send(request).await.is_err()
        {
            return Err(broken(tonic::Status::unavailable("stream is closed"), &self.client));
        }
        let Some((_, stream)) = &mut self.stream else {
            return Err(broken(tonic::Status::unavailable("stream is closed"), &self.client));
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, stream.message()).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => {
                Err(broken(tonic::Status::unavailable("stream was ended"), &self.client))
            }
            Ok(Err(status)) => Err(broken(status, &self.client)),
            Err(_) => Err(broken(tonic::Status::unavailable("no answer"), &self.client)),
        }
    }
}
