//! One place for every call: token, deadline, retry rules. The sub-clients only name a method and a message.
//!
//! Retry rules (see also `etcd:client/v3/retry.go`):
//! - the request surely did not leave (no connection, stream refused): next endpoint, reads and writes alike;
//! - a read met an unavailable member: next endpoint;
//! - the token was refused: a new token, once; the refused request had no effect;
//! - anything else is the caller's to see. A write whose outcome is unknown is never sent again.

use crate::auth::Session;
use crate::config::{Config, Patience};
use crate::error::{ClientError, Result};
use crate::pool::{Pool, open_lane};
use futures::FutureExt;
use futures::future::BoxFuture;
use prost::Message;
use quorate_proto::errors::EtcdError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// Version told to the server in metadata `client-api-version`.
const CLIENT_API_VERSION: &str = "3.7";

/// First pause between two rounds over all endpoints; doubled up to the second, with jitter.
const PAUSE_FIRST: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What a method does, for the retry rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Changes nothing: may be sent again.
    Read,
    /// Changes something: sent again only if it surely did not leave.
    Write,
}

/// A method of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// `/package.Service/Method`.
    pub(crate) path: &'static str,
    pub(crate) effect: Effect,
}

impl Method {
    pub(crate) const fn read(path: &'static str) -> Method {
        Method { path, effect: Effect::Read }
    }

    pub(crate) const fn write(path: &'static str) -> Method {
        Method { path, effect: Effect::Write }
    }
}

/// One attempt on its way. Boxed: the shapes of calls differ, and one allocation is nothing beside a round trip.
type Attempt<T> = BoxFuture<'static, std::result::Result<T, Status>>;

/// A client of one cluster. Cheap to clone; clones share connections and token.
#[derive(Clone)]
pub struct Client {
    pub(crate) config: Arc<Config>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) session: Arc<Session>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) require_leader: bool,
}

impl Client {
    /// Checks the configuration and prepares the connections. Nothing is dialled before the first call, so a cluster
    /// that is down is reported by that call.
    pub async fn connect(config: Config) -> Result<Client> {
        let pool = Pool::new(&config.endpoints, &config)?;
        let session = Session::new(config.credentials.clone());
        let timeout = config.request_timeout;
        let config = Arc::new(config);
        let (pool, session) = (Arc::new(pool), Arc::new(session));
        Ok(Client { config, pool, session, timeout, require_leader: false })
    }

    /// A client that asks only `endpoint`, with the same credentials: for status, health, defragment, snapshot.
    /// It shares the connection if the endpoint is one of this client's.
    pub fn at(&self, endpoint: &str) -> Result<Client> {
        let lane = match self.pool.find(endpoint) {
            Some(lane) => lane.clone(),
            None => open_lane(endpoint, &self.config)?,
        };
        Ok(Client { pool: Arc::new(Pool::single(lane)), ..self.clone() })
    }

    /// The same client with another limit for unary calls; `None` waits as long as it takes.
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Client {
        Client { timeout, ..self.clone() }
    }

    /// The same client whose calls fail with "no leader" on a member that knows none.
    pub fn with_require_leader(&self) -> Client {
        Client { require_leader: true, ..self.clone() }
    }

    /// The endpoints, as configured.
    pub fn endpoints(&self) -> Vec<String> {
        self.pool.endpoints().map(str::to_owned).collect()
    }

    /// The endpoint that the next call goes to.
    pub fn current_endpoint(&self) -> String {
        self.pool.current().1.endpoint.text.clone()
    }

    /// The configuration this client was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A unary call under the rules of this file.
    pub(crate) async fn unary<Q, A>(&self, method: Method, request: Q) -> Result<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.check_size(&request)?;
        let attempt = |mut grpc: Grpc<Channel>, request: Request<Q>| {
            let path = PathAndQuery::from_static(method.path);
            async move {
                grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
                grpc.unary(request, path, ProstCodec::<Q, A>::default()).await
            }
            .boxed()
        };
        let answer = self.run(method.effect, || request.clone(), attempt).await?;
        Ok(answer.into_inner())
    }

    /// Opens a server stream. Only the opening is retried.
    pub(crate) async fn server_stream<Q, A>(
        &self,
        method: Method,
        request: Q,
    ) -> Result<Streaming<A>>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let attempt = |mut grpc: Grpc<Channel>, request: Request<Q>| {
            let path = PathAndQuery::from_static(method.path);
            async move {
                grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
                grpc.server_streaming(request, path, ProstCodec::<Q, A>::default()).await
            }
            .boxed()
        };
        let answer = self.run(method.effect, || request.clone(), attempt).await?;
        Ok(answer.into_inner())
    }

    /// Opens a stream in both directions on the present endpoint; the caller moves on when it fails.
    pub(crate) async fn bidi_stream<Q, A, S>(
        &self,
        path: &'static str,
        requests: S,
    ) -> Result<(usize, Streaming<A>)>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
        S: futures::Stream<Item = Q> + Send + 'static,
    {
        let token = self.session.token(self).await?;
        let (number, lane) = self.pool.current();
        let mut grpc = self.grpc(lane.channel.clone());
        let opened = async {
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            let request = self.decorate(requests, token.as_deref(), None)?;
            let path = PathAndQuery::from_static(path);
            grpc.streaming(request, path, ProstCodec::<Q, A>::default()).await
        };
        match opened.await {
            Ok(answer) => Ok((number, answer.into_inner())),
            Err(status) => {
                let error = ClientError::from_status(&lane.endpoint.text, status);
                if error.is_unavailable() {
                    self.pool.move_on(number);
                }
                Err(error)
            }
        }
    }

    /// Runs attempts until one succeeds or the rules say stop.
    async fn run<Q, T>(
        &self,
        effect: Effect,
        request: impl Fn() -> Q,
        attempt: impl Fn(Grpc<Channel>, Request<Q>) -> Attempt<T>,
    ) -> Result<T> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut round = Rounds::new(self.pool.len());
        // A call without a limit of its own still does not try to connect for ever.
        let give_up = deadline.or(self.config.request_timeout.map(|limit| Instant::now() + limit));
        let mut refused_token = false;
        let mut last: Option<ClientError> = None;
        loop {
            let token = match within(deadline, self.session.token(self)).await {
                Some(token) => token?,
                None => return Err(self.timed_out(last)),
            };
            let (number, lane) = self.pool.current();
            let decorated = self
                .decorate(request(), token.as_deref(), deadline)
                .map_err(|status| ClientError::from_status(&lane.endpoint.text, status))?;
            let error =
                match within(deadline, attempt(self.grpc(lane.channel.clone()), decorated)).await {
                    Some(Ok(answer)) => return Ok(answer),
                    Some(Err(status)) => ClientError::from_status(&lane.endpoint.text, status),
                    None => return Err(self.timed_out(None)),
                };
            if is_own_timeout(&error, deadline) {
                return Err(self.timed_out(None));
            }
            if !refused_token && self.session.refresh_helps(&error, token.as_deref()) {
                refused_token = true;
                self.session.forget(token.as_deref()).await;
                continue;
            }
            let again = error.is_unsent() || (effect == Effect::Read && error.is_retryable());
            if !again {
                return Err(error);
            }
            self.pool.move_on(number);
            if round.is_over(self.config.patience, give_up) {
                return Err(error);
            }
            last = Some(error);
            if give_up.is_some_and(|give_up| Instant::now() >= give_up) {
                return Err(self.timed_out(last));
            }
            if within(deadline, tokio::time::sleep(round.pause())).await.is_none() {
                return Err(self.timed_out(last));
            }
        }
    }

    fn timed_out(&self, last: Option<ClientError>) -> ClientError {
        ClientError::Timeout { after: self.timeout.unwrap_or_default(), last: last.map(Box::new) }
    }

    fn grpc(&self, channel: Channel) -> Grpc<Channel> {
        Grpc::new(channel).max_decoding_message_size(self.config.receive_limit_bytes)
    }

    /// Puts token, version, leader requirement and time limit on a request.
    fn decorate<M>(
        &self,
        message: M,
        token: Option<&str>,
        deadline: Option<Instant>,
    ) -> std::result::Result<Request<M>, Status> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("client-api-version", MetadataValue::from_static(CLIENT_API_VERSION));
        if self.require_leader {
            metadata.insert("hasleader", MetadataValue::from_static("true"));
        }
        if let Some(token) = token {
            let token = token.parse().map_err(|_| EtcdError::InvalidAuthToken)?;
            metadata.insert("token", token);
        }
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        Ok(request)
    }

    /// Refuses what is too large to send, with the text of Go's library.
    fn check_size(&self, request: &impl Message) -> Result<()> {
        let (size, limit) = (request.encoded_len(), self.config.send_limit_bytes);
        if size <= limit {
            return Ok(());
        }
        let text = format!("trying to send message larger than max ({size} vs. {limit})");
        Err(ClientError::Server {
            endpoint: self.current_endpoint(),
            status: Box::new(Status::new(Code::ResourceExhausted, text)),
            unsent: true,
        })
    }
}

/// Runs `future` up to the deadline; `None` means that it passed.
async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// The time limit is also sent to the server and kept by the channel; whoever notices first, the caller sees one error.
fn is_own_timeout(error: &ClientError, deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
        && matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled)
}

/// Counts attempts and says how long to pause before the next one.
struct Rounds {
    endpoints: usize,
    failures: usize,
    pause: Duration,
}

impl Rounds {
    fn new(endpoints: usize) -> Self {
        Rounds { endpoints, failures: 0, pause: PAUSE_FIRST }
    }

    /// Notes a failure; true if no further attempt is due.
    fn is_over(&mut self, patience: Patience, deadline: Option<Instant>) -> bool {
        self.failures += 1;
        match (patience, deadline) {
            (Patience::UntilTimeout, Some(_)) => false,
            // One attempt more than endpoints: a connection that was found broken gets its chance to be made anew.
            _ => self.failures > self.endpoints,
        }
    }

    /// Endpoints not tried yet are tried at once; between rounds the pause grows.
    fn pause(&mut self) -> Duration {
        if !self.failures.is_multiple_of(self.endpoints) {
            return Duration::ZERO;
        }
        let pause = self.pause.mul_f64(rand::random_range(0.75..1.25));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        pause
    }
}
