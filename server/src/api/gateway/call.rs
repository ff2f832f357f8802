//! Answers of calls as HTTP: one JSON object, or a line of JSON per message.

use super::encode::{Escape, Unreadable, encode, write_string};
use super::frames::Answer;
use super::metadata::{http_status, to_headers};
use super::schema::Schema;
use crate::api::body::DoorBody;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response};
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `google.rpc.Status` as JSON; etcd sends no details.
fn status_json(status: &Status, escape: Escape) -> String {
    let mut out = format!("{{\"code\":{}", i32::from(status.code()));
    if !status.message().is_empty() {
        out.push_str(",\"message\":");
        write_string(status.message(), escape, &mut out);
    }
    out.push('}');
    out
}

fn response(status: http::StatusCode, body: DoorBody) -> Response<DoorBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A refused or failed call.
pub fn refusal(status: &Status) -> Response<DoorBody> {
    let body = DoorBody::page(status_json(status, Escape::Plain).into());
    let mut response = response(http_status(status.code()), body);
    if status.code() == tonic::Code::Unauthenticated
        && let Ok(text) = HeaderValue::from_str(status.message())
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, text);
    }
    response
}

fn unreadable(_: Unreadable) -> Status {
    Status::internal(Unreadable.to_string())
}

/// The one message of an answer, read to its end: a call that is left before it counts as cancelled.
async fn only(answer: &mut Answer) -> Result<Bytes, Status> {
    let message = answer.message().await?;
    while message.is_some() && answer.message().await?.is_some() {}
    message.ok_or_else(|| Status::internal("the call ended without an answer"))
}

/// The answer of a call with one answer.
pub async fn single(schema: &Schema, output: usize, mut answer: Answer) -> Response<DoorBody> {
    let json = match only(&mut answer).await {
        Ok(message) => encode(schema, output, &message, Escape::Plain).map_err(unreadable),
        Err(status) => Err(status),
    };
    match json {
        Ok(json) => {
            let body = DoorBody::kept(json.into(), answer.share.take());
            let mut response = response(http::StatusCode::OK, body);
            response.headers_mut().extend(to_headers(&answer.metadata));
            response
        }
        Err(status) => refusal(&status),
    }
}

/// A stream of answers on its way to the client.
struct Lines {
    schema: Arc<Schema>,
    output: usize,
    answer: Answer,
    is_over: bool,
    /// Holds the call's place among those that may run at once.
    _permit: OwnedSemaphorePermit,
}

impl Lines {
    /// The next line, and whether it is an error.
    async fn next(&mut self) -> Option<(Bytes, Option<Status>)> {
        if self.is_over {
            return None;
        }
        let result = match self.answer.message().await {
            Ok(None) => return None,
            Ok(Some(message)) => {
                encode(&self.schema, self.output, &message, Escape::Html).map_err(unreadable)
            }
            Err(status) => Err(status),
        };
        Some(match result {
            Ok(json) => (format!("{{\"result\":{json}}}\n").into(), None),
            Err(status) => {
                self.is_over = true;
                let json = status_json(&status, Escape::Html);
                (format!("{{\"error\":{json}}}\n").into(), Some(status))
            }
        })
    }
}

/// The answer of a call with any number of answers. Its head waits for the first: an error that comes before it
/// decides the status.
pub async fn stream(
    schema: Arc<Schema>,
    output: usize,
    answer: Answer,
    permit: OwnedSemaphorePermit,
) -> Response<DoorBody> {
    let mut lines = Lines { schema, output, answer, is_over: false, _permit: permit };
    let first = lines.next().await;
    let code = match &first {
        Some((_, Some(status))) => http_status(status.code()),
        _ => http::StatusCode::OK,
    };
    let metadata: Vec<_> = to_headers(&lines.answer.metadata).collect();
    let is_empty = first.is_none();
    let rest = futures::stream::unfold((first, lines), |(first, mut lines)| async move {
        let (line, _) = match first {
            Some(first) => first,
            None => lines.next().await?,
        };
        Some((Ok::<_, Status>(Frame::data(line)), (None, lines)))
    });
    let body = DoorBody::plain(tonic::body::Body::new(StreamBody::new(rest)));
    let mut response = response(code, body);
    if is_empty {
        // Nothing was said: grpc-go sees an answer of trailers alone, without metadata.
        response.headers_mut().remove(CONTENT_TYPE);
    } else {
        response.headers_mut().extend(metadata);
    }
    response
}
