//! How watch messages go onto the wire: the events of a message were encoded once for all watchers and are only copied.

use prost::Message;
use quorate_proto::etcdserverpb::{WatchRequest, WatchResponse};
use std::ops::Range;
use std::sync::Arc;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::mvcc::watch::EncodedEvents;

/// One message of a watch stream.
#[derive(Debug)]
pub struct WatchFrame {
    /// Everything but the events.
    pub response: WatchResponse,
    /// The events, and which of them are in this message.
    pub events: Option<(Arc<EncodedEvents>, Range<usize>)>,
}

impl WatchFrame {
    /// Bytes of its events.
    pub fn events_len(&self) -> usize {
        match &self.events {
            None => 0,
            Some((events, range)) if range.len() == events.n_events() => events.encoded_len(),
            Some((events, range)) => {
                events.segments()[range.clone()].iter().map(bytes::Bytes::len).sum()
            }
        }
    }
}

/// Decodes requests, encodes frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchCodec;

impl Codec for WatchCodec {
    type Encode = WatchFrame;
    type Decode = WatchRequest;
    type Encoder = FrameEncoder;
    type Decoder = RequestDecoder;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> RequestDecoder {
        RequestDecoder
    }
}

/// Writes frames.
#[derive(Clone, Copy, Debug)]
pub struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = WatchFrame;
    type Error = Status;

    fn encode(&mut self, frame: WatchFrame, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut;
        let too_large = |error: prost::EncodeError| Status::internal(error.to_string());
        frame.response.encode(buffer).map_err(too_large)?;
        buffer.reserve(frame.events_len());
        if let Some((events, range)) = frame.events {
            let segments = &events.segments()[range];
            segments.iter().for_each(|segment| buffer.put_slice(segment));
        }
        Ok(())
    }
}

/// Reads requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestDecoder;

impl Decoder for RequestDecoder {
    type Item = WatchRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<WatchRequest>, Status> {
        WatchRequest::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
