//! gRPC's framing of messages, for calls that never see a socket: five bytes before each, and a status at the end.

use crate::api::body::DoorBody;
use crate::api::budget::Share;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use tonic::Status;

/// Length of the prefix of a message: a flag and four bytes of length.
const PREFIX: usize = 5;

/// A message with its prefix.
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// The messages of an answer, and the status at its end.
pub struct Answer {
    body: DoorBody,
    buffer: BytesMut,
    /// Set where the answer has no messages, or has ended.
    status: Option<Status>,
    is_over: bool,
    /// Metadata that came before the first message; none where there was only a status.
    pub metadata: HeaderMap,
    /// The share of the answers' budget that the last message has.
    pub share: Option<Share>,
}

impl Answer {
    /// Begins to read an answer.
    pub fn new(response: Response<DoorBody>) -> Answer {
        let (parts, body) = response.into_parts();
        let status = Status::from_header_map(&parts.headers);
        let metadata = if status.is_some() { HeaderMap::new() } else { parts.headers };
        let (buffer, is_over) = (BytesMut::new(), status.is_some());
        Answer { body, buffer, is_over, status, metadata, share: None }
    }

    /// The next message; none at a good end.
    ///
    /// # Errors
    /// The status with which the call ended.
    pub async fn message(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if self.is_over {
                return match self.status.take() {
                    Some(status) if status.code() != tonic::Code::Ok => Err(status),
                    _ => Ok(None),
                };
            }
            match self.body.frame().await {
                None => self.is_over = true,
                Some(Err(status)) => return Err(status),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.share = self.body.share();
                        self.buffer.extend_from_slice(&data);
                    }
                    Err(frame) => {
                        self.status = frame.trailers_ref().and_then(Status::from_header_map);
                        self.is_over = true;
                    }
                },
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(prefix) = self.buffer.get(..PREFIX) else { return Ok(None) };
        if prefix[0] != 0 {
            return Err(Status::internal("compressed answers are not understood here"));
        }
        let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if self.buffer.len() < PREFIX + len {
            self.buffer.reserve(PREFIX + len - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }
}
