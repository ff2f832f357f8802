//! The door of the client port: one hyper service that sends gRPC calls to their handlers and the rest to the gateway
//! and the pages.
//!
//! What is the same for all calls is done here once: counting, learner and leader requirements, the text of an
//! oversized message, slow-call warnings. Handlers see only requests that may be served.

use super::access::Access;
use super::body::{CallBody, DoorBody, Paced};
use super::budget::{Share, Shares};
use super::call_counters::CallCounters;
use super::context::SharedContext;
use super::gateway::{Calls, Gateway, SchemaError};
use super::http2_debug;
use super::identity::CertificateName;
use super::leaderless::Leaderless;
use super::methods::{METHODS, Shape};
use super::pages;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::{Body, Incoming};
use quorate_proto::errors::EtcdError;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;
use tower::Service;

use super::services::{Encoding, GRPC_OVERHEAD_BYTES, Services};

/// What is known of a method at run time.
#[derive(Debug)]
struct Entry {
    shape: Shape,
    on_learner: bool,
    counters: Arc<CallCounters>,
}

/// What a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// gRPC and pages: a client URL.
    All,
    /// gRPC alone: a client URL beside `--listen-client-http-urls`.
    Grpc,
    /// Pages alone: `--listen-client-http-urls`.
    Http,
    /// Metrics and health alone: `--listen-metrics-urls`.
    Metrics,
}

impl Serves {
    /// The word in etcd's log line.
    pub fn traffic(self) -> &'static str {
        match self {
            Serves::All => "grpc+http",
            Serves::Grpc => "grpc",
            Serves::Http => "http",
            Serves::Metrics => "metrics",
        }
    }

    fn takes_calls(self) -> bool {
        matches!(self, Serves::All | Serves::Grpc)
    }
}

/// The service that every client connection gets a clone of.
#[derive(Clone)]
pub struct Door {
    inner: Arc<Inner>,
    serves: Serves,
    is_tls: bool,
    certificate_name: Option<CertificateName>,
}

struct Inner {
    context: SharedContext,
    services: Services,
    /// The same for calls whose messages are compressed.
    gzip: Services,
    methods: HashMap<&'static str, Arc<Entry>>,
    access: Access,
    /// None with `--enable-grpc-gateway=false`.
    gateway: Option<Arc<Gateway>>,
}

impl Door {
    /// Builds the door of a member.
    ///
    /// # Errors
    /// The message descriptors do not fit the gateway: a defect of the build.
    pub fn new(context: SharedContext) -> Result<Door, SchemaError> {
        let entry = |method: &'static super::methods::Method| {
            let counters = Arc::new(CallCounters::new(&context.metrics, &context.intake, method));
            let entry = Entry { shape: method.shape, on_learner: method.on_learner, counters };
            (method.path, Arc::new(entry))
        };
        let methods = METHODS.iter().map(entry).collect();
        let services = Services::new(&context, Encoding::Identity);
        let gzip = Services::new(&context, Encoding::Gzip);
        let limits = &context.limits;
        let receive = limits.request_bytes_max + GRPC_OVERHEAD_BYTES;
        let gateway = match context.http.has_gateway {
            true => Some(Arc::new(Gateway::new(
                receive,
                limits.concurrent_streams_max,
                &context.intake,
            )?)),
            false => None,
        };
        let access = Access::new(&context.http);
        let inner = Arc::new(Inner { context, services, gzip, methods, access, gateway });
        Ok(Door { inner, serves: Serves::All, is_tls: false, certificate_name: None })
    }

    /// The door as one connection sees it, with what TLS proved of the client.
    pub fn on_connection(
        self,
        serves: Serves,
        is_tls: bool,
        certificate_name: Option<CertificateName>,
    ) -> Door {
        Door { serves, is_tls, certificate_name, ..self }
    }
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Response<DoorBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    /// Sorts the call at once and leaves a small future: a large one is copied on its way to the heap.
    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        http2_debug::show(&request);
        let inner = Arc::clone(&self.inner);
        let (serves, is_tls) = (self.serves, self.is_tls);
        if let Some(name) = &self.certificate_name {
            request.extensions_mut().insert(name.clone());
        }
        let is_call = serves.takes_calls() && is_grpc(request.headers());
        let known = inner.methods.get(request.uri().path()).filter(|_| is_call);
        match known.cloned() {
            Some(entry) => inner.answer_call(entry, request.map(CallBody::incoming)),
            None if request.body().is_end_stream() => Box::pin(async move {
                Ok(inner.answer_other(request.map(CallBody::incoming), serves, is_tls).await)
            }),
            None => Box::pin(async move {
                let (parts, body) = request.into_parts();
                let (body, unread) = CallBody::read(body);
                let request = Request::from_parts(parts, body);
                let answer = inner.answer_other(request, serves, is_tls).await;
                Ok(answer.map(|body| unread.before(body)))
            }),
        }
    }
}

impl Calls for Inner {
    fn call(self: Arc<Self>, request: Request<CallBody>) -> Answer {
        match self.methods.get(request.uri().path()).cloned() {
            Some(entry) => self.answer_call(entry, request),
            None => {
                let status = Status::unimplemented(unknown_method(request.uri().path()));
                Box::pin(ready(Ok(refusal(&status))))
            }
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<DoorBody>, Infallible>> + Send>>;

impl Inner {
    fn answer_call(self: Arc<Self>, entry: Arc<Entry>, mut request: Request<CallBody>) -> Answer {
        let encoding = match encoding(request.headers_mut()) {
            Ok(encoding) => encoding,
            Err(status) => return Box::pin(ready(Ok(refusal(&status)))),
        };
        let started = Instant::now();
        entry.counters.start();
        if let Err(status) = self.admit(&entry, request.headers()) {
            entry.counters.finish(status.code(), started);
            return Box::pin(ready(Ok(refusal(&status))));
        }
        let leaderless = self.leaderless(&entry, request.headers());
        let request = request.map(|body| body.metered(entry.counters.clone()));
        let answer = self.route(entry.counters.path(), encoding, request);
        Box::pin(async move {
            let response = answer.await.unwrap_or_else(|never| match never {});
            if entry.shape == Shape::Unary {
                self.note_slow(&entry, started.elapsed());
            }
            Ok(counted(response, &entry, started, leaderless))
        })
    }

    /// What is no known call: the gateway and the pages, behind the rules for browsers.
    async fn answer_other(
        self: Arc<Self>,
        mut request: Request<CallBody>,
        serves: Serves,
        is_tls: bool,
    ) -> Response<DoorBody> {
        if serves.takes_calls() && is_grpc(request.headers()) {
            return refusal(&Status::unimplemented(unknown_method(request.uri().path())));
        }
        let is_method = self.methods.contains_key(request.uri().path());
        let refused = pages::without_host(&request)
            .or_else(|| pages::refused_here(&request, serves, is_method));
        if let Some(page) = refused {
            return page.map(DoorBody::page);
        }
        if serves == Serves::Metrics {
            return self.page(request).await;
        }
        let has_auth = self.context.state.auth.is_enabled();
        let cors = match self.access.admit(&mut request, is_tls, has_auth) {
            Ok(cors) => cors,
            Err(answer) => return answer.map(DoorBody::page),
        };
        let mut response = match &self.gateway {
            Some(gateway) if request.uri().path().starts_with("/v3/") => {
                gateway.answer(self.clone(), request).await
            }
            _ => self.page(request).await,
        };
        cors.write(response.headers_mut());
        response
    }

    async fn page(&self, request: Request<CallBody>) -> Response<DoorBody> {
        let (parts, _) = request.into_parts();
        pages::answer(&self.context, &parts.method, &parts.uri).await.map(DoorBody::page)
    }

    fn note_slow(&self, entry: &Entry, took: Duration) {
        if took > self.context.limits.slow_call {
            let (response_type, took_ms) = (entry.counters.path(), took.as_millis() as u64);
            tracing::warn!(response_type, took_ms, "request stats");
        }
    }

    /// Streams that ask for a leader end when there is none for long.
    fn leaderless(&self, entry: &Entry, headers: &HeaderMap) -> Option<Leaderless> {
        let is_stream = entry.shape != Shape::Unary;
        (is_stream && needs_leader(headers)).then(|| Leaderless::new(self.context.clone()))
    }

    /// What etcd's interceptors check before a handler runs (`etcd:server/etcdserver/api/v3rpc/interceptor.go`).
    fn admit(&self, entry: &Entry, headers: &HeaderMap) -> Result<(), Status> {
        if !entry.on_learner && self.context.state.cluster.is_local_learner() {
            return Err(EtcdError::NotSupportedForLearner.into());
        }
        let version = headers.get("client-api-version").map(HeaderValue::as_bytes);
        if version.is_some_and(|version| std::str::from_utf8(version).is_err()) {
            return Err(EtcdError::InvalidClientApiVersion.into());
        }
        self.context.metrics.grpc.versions.count(entry.counters.is_stream(), version);
        if needs_leader(headers) && self.context.raft.leader().is_none() {
            return Err(EtcdError::NoLeader.into());
        }
        Ok(())
    }

    fn route(&self, path: &str, encoding: Encoding, request: Request<CallBody>) -> Handled {
        let services = match encoding {
            Encoding::Identity => &self.services,
            Encoding::Gzip => &self.gzip,
        };
        match path.split('/').nth(1).unwrap_or_default() {
            "etcdserverpb.KV" => services.kv.clone().call(request),
            "etcdserverpb.Watch" => {
                let watch = services.watch.clone();
                Box::pin(async move { Ok(watch.call(request).await) })
            }
            "etcdserverpb.Lease" => services.lease.clone().call(request),
            "etcdserverpb.Cluster" => services.cluster.clone().call(request),
            "etcdserverpb.Auth" => services.auth.clone().call(request),
            "etcdserverpb.Maintenance" => services.maintenance.clone().call(request),
            "v3lockpb.Lock" => services.lock.clone().call(request),
            "v3electionpb.Election" => services.election.clone().call(request),
            _ => services.health.clone().call(request),
        }
    }
}

/// The answer of a handler that is being made.
type Handled =
    Pin<Box<dyn Future<Output = Result<Response<tonic::body::Body>, Infallible>> + Send>>;

/// How a call's messages are written; what is not known is refused in grpc-go's words, before anything else is looked at.
fn encoding(headers: &mut HeaderMap) -> Result<Encoding, Status> {
    let Some(name) = headers.get("grpc-encoding") else { return Ok(Encoding::Identity) };
    match name.as_bytes() {
        b"identity" => Ok(Encoding::Identity),
        b"gzip" => {
            headers.insert("grpc-accept-encoding", HeaderValue::from_static("gzip"));
            Ok(Encoding::Gzip)
        }
        other => {
            let name = String::from_utf8_lossy(other);
            let text = format!("grpc: Decompressor is not installed for grpc-encoding \"{name}\"");
            Err(Status::unimplemented(text))
        }
    }
}

fn needs_leader(headers: &HeaderMap) -> bool {
    headers.get("hasleader").is_some_and(|value| value == "true")
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// grpc-go's texts for what it does not know.
fn unknown_method(path: &str) -> String {
    let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap_or((path, ""));
    if METHODS.iter().any(|known| known.names().0 == service) {
        format!("unknown method {method} for service {service}")
    } else {
        format!("unknown service {service}")
    }
}

fn refusal(status: &Status) -> Response<DoorBody> {
    status.clone().into_http::<tonic::body::Body>().map(|_| DoorBody::page(bytes::Bytes::new()))
}

/// Wraps the answer so that its end is counted, and gives an unreadable message the code and text of grpc-go.
fn counted(
    mut response: Response<tonic::body::Body>,
    entry: &Entry,
    started: Instant,
    leaderless: Option<Leaderless>,
) -> Response<DoorBody> {
    let status = Status::from_header_map(response.headers());
    if let Some(status) = &status
        && let Some(translated) = in_words_of_grpc_go(status)
    {
        let headers = response.headers_mut();
        headers.insert("grpc-status", HeaderValue::from(i32::from(translated.code())));
        if let Ok(text) = HeaderValue::from_str(translated.message()) {
            headers.insert("grpc-message", text);
        }
        entry.counters.finish(translated.code(), started);
        return response.map(DoorBody::plain);
    }
    if let Some(status) = status {
        entry.counters.finish(status.code(), started);
        return response.map(DoorBody::plain);
    }
    let counters = Arc::clone(&entry.counters);
    let paced = response.extensions_mut().remove::<Shares>().map(Paced::new);
    let share = response.extensions_mut().remove::<Share>();
    let response =
        response.map(|body| DoorBody::counted(body, counters, started, leaderless, paced));
    match share {
        Some(share) => response.map(|body| body.with_share(share)),
        None => response,
    }
}

/// What tonic says of a message that it cannot read, in the words of grpc-go, which clients know.
fn in_words_of_grpc_go(status: &Status) -> Option<Status> {
    let said = status.message();
    if let Some(rest) = said.strip_prefix("Error, decoded message length too large: found ") {
        let (found, rest) = rest.split_once(" bytes, the limit is: ")?;
        let limit = rest.strip_suffix(" bytes")?;
        let text = format!("grpc: received message larger than max ({found} vs. {limit})");
        return Some(Status::resource_exhausted(text));
    }
    if let Some(rest) = said.strip_prefix("Error decompressing: size limit, of ") {
        let (limit, _) = rest.split_once(' ')?;
        let text = format!("grpc: received message after decompression larger than max {limit}");
        return Some(Status::resource_exhausted(text));
    }
    if let Some(rest) = said.strip_prefix("Error decompressing: ") {
        let reason = rest.strip_suffix(", while sending request")?;
        let text = match reason.contains("gzip header") {
            true => "grpc: failed to decompress the message: gzip: invalid header".to_owned(),
            false => format!("grpc: failed to read decompressed data: {reason}"),
        };
        return Some(Status::internal(text));
    }
    let is_unnamed = said.starts_with("protocol error: received message with compressed-flag");
    is_unnamed
        .then(|| Status::internal("grpc: compressed flag set with identity or empty encoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentence that tonic makes is the one that is translated.
    #[test]
    fn oversized_messages_read_like_grpc_go() {
        let text = "Error, decoded message length too large: found 3 bytes, the limit is: 2 bytes";
        let status = in_words_of_grpc_go(&Status::out_of_range(text)).unwrap();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert_eq!(status.message(), "grpc: received message larger than max (3 vs. 2)");
        assert!(in_words_of_grpc_go(&Status::out_of_range("x")).is_none());
    }

    /// What is not known is refused in grpc-go's words.
    #[test]
    fn unknown_methods() {
        assert_eq!(unknown_method("/a.B/C"), "unknown service a.B");
        assert_eq!(
            unknown_method("/etcdserverpb.KV/Nope"),
            "unknown method Nope for service etcdserverpb.KV"
        );
    }
}
