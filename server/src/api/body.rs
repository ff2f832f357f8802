//! Bodies of calls, from a socket or made here, and of answers: a page, or a stream whose end is counted by its code.

use super::budget::Share;
use super::call_counters::{CallCounters, MessageMeter};
use super::leaderless::Leaderless;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::{Code, Status};

/// Where the bytes of a call come from.
#[derive(Debug)]
enum Source {
    Incoming(Incoming),
    Made(tonic::body::Body),
}

/// The body of a call, whose messages are counted once it is known which call it is.
#[derive(Debug)]
pub struct CallBody {
    source: Source,
    meter: Option<(MessageMeter, Arc<CallCounters>)>,
}

impl CallBody {
    /// A body as it comes from the client.
    pub fn incoming(body: Incoming) -> CallBody {
        CallBody { source: Source::Incoming(body), meter: None }
    }

    /// A body that is all there.
    pub fn full(bytes: Bytes) -> CallBody {
        CallBody::made(Full::new(bytes))
    }

    /// Any other body.
    pub fn made<B>(body: B) -> CallBody
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        CallBody { source: Source::Made(tonic::body::Body::new(body)), meter: None }
    }

    /// The same body, its messages counted.
    pub fn metered(self, counters: Arc<CallCounters>) -> CallBody {
        CallBody { meter: Some((MessageMeter::default(), counters)), ..self }
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Made(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        };
        if let (Some((meter, counters)), Poll::Ready(Some(Ok(frame)))) = (&mut this.meter, &polled)
            && let Some(data) = frame.data_ref()
        {
            counters.receive(meter.see(data));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Incoming(body) => body.is_end_stream(),
            Source::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Incoming(body) => body.size_hint(),
            Source::Made(body) => body.size_hint(),
        }
    }
}

/// The body of any answer of the client port.
#[derive(Debug)]
pub enum DoorBody {
    /// All at once.
    Page(Full<Bytes>),
    /// A gRPC answer that was counted already.
    Plain(tonic::body::Body),
    /// A gRPC answer that is counted when it ends, or as cancelled when nobody reads it to its end.
    Counted(Counted),
}

/// A gRPC answer and where it is counted.
#[derive(Debug)]
pub struct Counted {
    body: tonic::body::Body,
    counters: Arc<CallCounters>,
    meter: MessageMeter,
    started: Instant,
    is_over: bool,
    /// Ends a stream whose caller wants a leader.
    leaderless: Option<Leaderless>,
    /// Holds a large answer's part of the budget, and hands the answer out in pieces.
    paced: Option<Paced>,
}

/// A large answer on its way: in pieces, so that what the client has not taken yet is still known to wait here.
#[derive(Debug)]
pub struct Paced {
    _share: Share,
    rest: Bytes,
}

/// Bytes of a piece; a connection buffers one or two of them.
const PIECE_BYTES: usize = 64 * 1024;

impl Paced {
    /// An answer that has this share.
    pub(super) fn new(share: Share) -> Paced {
        Paced { _share: share, rest: Bytes::new() }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(PIECE_BYTES.min(self.rest.len())))
    }
}

impl DoorBody {
    /// A page.
    pub fn page(bytes: Bytes) -> DoorBody {
        DoorBody::Page(Full::new(bytes))
    }

    /// A gRPC answer as it is.
    pub fn plain(body: tonic::body::Body) -> DoorBody {
        DoorBody::Plain(body)
    }

    /// The answer of a call that began at `started`, whose end is to be counted.
    pub(super) fn counted(
        body: tonic::body::Body,
        counters: Arc<CallCounters>,
        started: Instant,
        leaderless: Option<Leaderless>,
        paced: Option<Paced>,
    ) -> DoorBody {
        let (meter, is_over) = (MessageMeter::default(), false);
        DoorBody::Counted(Counted { body, counters, meter, started, is_over, leaderless, paced })
    }
}

/// The trailers that end a stream with a status.
fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // A status of ours has nothing that a header cannot carry.
    let _ = status.add_header(&mut trailers);
    trailers
}

impl Body for DoorBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            DoorBody::Page(page) => Pin::new(page).poll_frame(cx).map_err(|never| match never {}),
            DoorBody::Plain(body) => Pin::new(body).poll_frame(cx),
            DoorBody::Counted(counted) => counted.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            DoorBody::Page(page) => page.is_end_stream(),
            DoorBody::Plain(body) => body.is_end_stream(),
            DoorBody::Counted(counted) => counted.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            DoorBody::Page(page) => page.size_hint(),
            DoorBody::Plain(body) => body.size_hint(),
            DoorBody::Counted(counted) => counted.body.size_hint(),
        }
    }
}

impl Counted {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(paced) = self.paced.as_mut().filter(|paced| !paced.rest.is_empty()) {
            return Poll::Ready(Some(Ok(paced.piece())));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(leaderless) = &mut self.leaderless
            && let Poll::Ready(status) = leaderless.poll(cx)
        {
            polled = Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
        }
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            if let Some(data) = frame.data_ref() {
                self.counters.send(self.meter.see(data));
            } else if let Some(trailers) = frame.trailers_ref() {
                let status = Status::from_header_map(trailers);
                let code = status.map_or(Code::Ok, |status| status.code());
                self.counters.finish(code, self.started);
                self.is_over = true;
            }
        }
        match (polled, &mut self.paced) {
            (Poll::Ready(Some(Ok(frame))), Some(paced)) if frame.is_data() => {
                paced.rest = frame.into_data().unwrap_or_default();
                Poll::Ready(Some(Ok(paced.piece())))
            }
            (polled, _) => polled,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.is_over {
            self.counters.finish(Code::Cancelled, self.started);
        }
    }
}
