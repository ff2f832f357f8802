//! Bodies of HTTP requests as JSON requests: one for a single call, any number for a stream.

use super::decode::decode;
use super::frames::framed;
use super::json_error::JsonError;
use super::json_values::JsonValues;
use super::schema::{MethodShape, Schema};
use crate::api::body::CallBody;
use crate::api::intake::CALL_BYTES;
use bytes::Bytes;
use futures::Stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::sync::Arc;
use tonic::Status;

/// The requests of one HTTP body, one after the other.
pub struct Requests {
    schema: Arc<Schema>,
    message: usize,
    body: CallBody,
    values: JsonValues,
    is_over: bool,
    /// Bytes for which the call itself is counted while it waits.
    call_bytes: usize,
}

impl Requests {
    /// Requests to a method, each of up to `bytes_max` bytes of JSON.
    pub fn new(
        schema: Arc<Schema>,
        shape: &MethodShape,
        body: CallBody,
        bytes_max: usize,
    ) -> Requests {
        let (values, is_over) = (JsonValues::new(bytes_max), false);
        let call_bytes = if shape.is_client_stream { 0 } else { CALL_BYTES };
        Requests { schema, message: shape.input, body, values, is_over, call_bytes }
    }

    /// The next request, encoded; none at the end of the body.
    ///
    /// # Errors
    /// The body is no such request.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, JsonError> {
        match self.next_value().await? {
            Some(value) => decode(&self.schema, self.message, &value).map(Some),
            None => Ok(None),
        }
    }

    async fn next_value(&mut self) -> Result<Option<Bytes>, JsonError> {
        loop {
            if let Some(value) = self.values.next_value()? {
                return Ok(Some(value));
            }
            if self.is_over {
                return self.values.finish();
            }
            self.body.keep(self.call_bytes + self.values.waiting());
            match self.body.frame().await {
                None => self.is_over = true,
                Some(Err(error)) => return Err(JsonError::from_body(error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.values.push(data);
                    }
                }
            }
        }
    }

    /// The body of a gRPC call that sends these requests as they come. A request that cannot be read ends the client's
    /// side of the call, as in grpc-gateway: what was asked before it is still answered.
    pub fn into_call_body(self) -> CallBody {
        CallBody::made(StreamBody::new(self.into_frames()))
    }

    fn into_frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Status>> + Send {
        futures::stream::unfold(self, |mut requests| async move {
            match requests.next().await {
                Ok(Some(message)) => Some((Ok(Frame::data(framed(&message))), requests)),
                Ok(None) => None,
                Err(error) => {
                    tracing::debug!(%error, "failed to decode a request of a stream");
                    None
                }
            }
        })
    }
}
