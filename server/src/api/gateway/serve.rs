//! A gateway request from its path to its answer. What a call may do is decided behind [`Calls`], as for gRPC clients.

use super::bodies::Requests;
use super::call;
use super::frames::{Answer, framed};
use super::metadata;
use super::routes::ROUTES;
use super::schema::{MethodShape, Schema, SchemaError};
use super::websocket;
use crate::api::body::{CallBody, DoorBody};
use crate::api::intake::Intake;
use http::{HeaderMap, Method, Request, Response};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// JSON takes up to this many times the bytes of its message: six for an escaped character, and some names.
const JSON_FACTOR: usize = 8;

/// An answer that is being made.
type Answering = Pin<Box<dyn Future<Output = Result<Response<DoorBody>, Infallible>> + Send>>;

/// Where gRPC calls are answered.
pub trait Calls: Send + Sync + 'static {
    /// Answers one call, which has passed no socket.
    fn call(self: Arc<Self>, request: Request<CallBody>) -> Answering;
}

#[derive(Clone, Copy, Debug)]
struct Route {
    grpc_path: &'static str,
    shape: MethodShape,
}

/// The gateway of a member.
#[derive(Debug)]
pub struct Gateway {
    schema: Arc<Schema>,
    routes: HashMap<&'static str, Route>,
    json_bytes_max: usize,
    /// grpc-gateway shares one connection; so its calls share one limit of `--max-concurrent-streams`.
    places: Arc<Semaphore>,
    intake: Arc<Intake>,
}

impl Gateway {
    /// A gateway for requests of up to `request_bytes_max` bytes, of which `concurrent_max` may run at once.
    ///
    /// # Errors
    /// The descriptors are not what the gateway was written for.
    pub fn new(
        request_bytes_max: usize,
        concurrent_max: u32,
        intake: &Arc<Intake>,
    ) -> Result<Gateway, SchemaError> {
        let schema = Schema::from_descriptors(quorate_proto::DESCRIPTORS)?;
        let mut routes = HashMap::with_capacity(ROUTES.len());
        for (path, grpc_path) in ROUTES {
            let unknown = || SchemaError::Unknown((*grpc_path).to_owned());
            let shape = schema.method(grpc_path).ok_or_else(unknown)?;
            routes.insert(*path, Route { grpc_path, shape });
        }
        let places = usize::try_from(concurrent_max).unwrap_or(usize::MAX);
        Ok(Gateway {
            schema: Arc::new(schema),
            routes,
            json_bytes_max: request_bytes_max.saturating_mul(JSON_FACTOR),
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            intake: intake.clone(),
        })
    }

    /// Answers a request, on a websocket where it asks for one.
    pub async fn answer(
        self: &Arc<Self>,
        calls: Arc<dyn Calls>,
        request: Request<CallBody>,
    ) -> Response<DoorBody> {
        if websocket::is_upgrade(request.headers()) {
            let (bytes_max, intake) = (self.json_bytes_max, self.intake.clone());
            return websocket::upgrade(self.clone(), calls, request, bytes_max, intake);
        }
        self.answer_plain(calls, request).await
    }

    /// Answers a request on its own connection.
    pub(super) async fn answer_plain(
        &self,
        calls: Arc<dyn Calls>,
        request: Request<CallBody>,
    ) -> Response<DoorBody> {
        let Some(route) = self.routes.get(request.uri().path()) else {
            return call::refusal(&Status::not_found("Not Found"));
        };
        if request.method() != Method::POST {
            return call::refusal(&Status::unimplemented("Method Not Allowed"));
        }
        let timeout = match metadata::timeout(request.headers()) {
            // As in Go, no time at all means all the time.
            Ok(timeout) => timeout.filter(|time| !time.is_zero()),
            Err(status) => return call::refusal(&status),
        };
        let answered = self.call(calls, *route, request);
        match timeout {
            None => answered.await,
            Some(time) => tokio::time::timeout(time, answered).await.unwrap_or_else(|_| {
                call::refusal(&Status::deadline_exceeded("context deadline exceeded"))
            }),
        }
    }

    async fn call(
        &self,
        calls: Arc<dyn Calls>,
        route: Route,
        request: Request<CallBody>,
    ) -> Response<DoorBody> {
        let Ok(permit) = self.places.clone().acquire_owned().await else {
            return call::refusal(&quorate_proto::errors::EtcdError::Stopped.into());
        };
        let (parts, body) = request.into_parts();
        let (schema, body) = (self.schema.clone(), body.kept_in(self.intake.clone()));
        let mut requests = Requests::new(schema, &route.shape, body, self.json_bytes_max);
        let body = if route.shape.is_client_stream {
            requests.into_call_body()
        } else {
            match requests.next().await {
                // An empty body is a message with nothing in it.
                Ok(message) => CallBody::full(framed(&message.unwrap_or_default())),
                Err(error) => {
                    return call::refusal(&Status::new(error.code(), error.to_string()));
                }
            }
        };
        let request = grpc_request(route.grpc_path, &parts.headers, body);
        self.answer_call(calls, route, request, permit).await
    }

    async fn answer_call(
        &self,
        calls: Arc<dyn Calls>,
        route: Route,
        request: Request<CallBody>,
        permit: OwnedSemaphorePermit,
    ) -> Response<DoorBody> {
        let answer = Answer::new(calls.call(request).await.unwrap_or_else(|never| match never {}));
        let output = route.shape.output;
        if route.shape.is_server_stream {
            return call::stream(self.schema.clone(), output, answer, permit).await;
        }
        call::single(&self.schema, output, answer).await
    }
}

fn grpc_request(path: &'static str, headers: &HeaderMap, body: CallBody) -> Request<CallBody> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = http::Version::HTTP_2;
    *request.uri_mut() = http::Uri::from_static(path);
    *request.headers_mut() = metadata::to_metadata(headers);
    request
}
