//! Bodies of calls, from a socket or made here, and of answers: a page, or a stream whose end is counted by its code.

use super::budget::{Share, Shares};
use super::call_counters::{CallCounters, MessageMeter};
use super::intake::{CALL_BYTES, Held, Intake};
use super::leaderless::Leaderless;
use super::unread::{Patient, Read, Unread};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tonic::{Code, Status};

/// Where the bytes of a call come from.
#[derive(Debug)]
enum Source {
    Incoming(Incoming),
    Read(Read),
    Made(tonic::body::Body),
}

/// The body of a call, whose messages are counted once it is known which call it is.
#[derive(Debug)]
pub struct CallBody {
    source: Source,
    meter: Option<(MessageMeter, Arc<CallCounters>)>,
    /// What has come and is not a whole request yet, once it has to wait for the rest.
    held: Option<Held>,
    /// Bytes that the reader keeps of a body that has no meter.
    kept: usize,
}

impl CallBody {
    /// A body as it comes from the client.
    pub fn incoming(body: Incoming) -> CallBody {
        CallBody { source: Source::Incoming(body), meter: None, held: None, kept: 0 }
    }

    /// A body as it comes, whose rest is for the answer.
    pub(super) fn read(body: Incoming) -> (CallBody, Unread) {
        let (body, unread) = Read::new(body);
        (CallBody { source: Source::Read(body), meter: None, held: None, kept: 0 }, unread)
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
        let source = Source::Made(tonic::body::Body::new(body));
        CallBody { source, meter: None, held: None, kept: 0 }
    }

    /// The same body, its messages counted.
    pub fn metered(self, counters: Arc<CallCounters>) -> CallBody {
        CallBody { meter: Some((MessageMeter::default(), counters)), ..self }
    }

    /// The same body, what its reader keeps of it counted.
    pub fn kept_in(self, intake: Arc<Intake>) -> CallBody {
        CallBody { held: Some(Held::new(intake)), ..self }
    }

    /// Says how many bytes the reader keeps while it waits for more.
    pub fn keep(&mut self, bytes: usize) {
        self.kept = bytes;
    }

    /// Waits for more of a request, as long as there is room for what has come of it.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let bytes = match (&self.meter, &self.source) {
            (None, _) => self.kept,
            (Some((meter, counters)), Source::Incoming(_) | Source::Read(_)) => {
                let bytes = if counters.takes_one() {
                    CALL_BYTES + meter.last()
                } else {
                    meter.unfinished()
                };
                if bytes > 0 && self.held.is_none() {
                    self.held = Some(Held::new(counters.intake()));
                }
                bytes
            }
            // What it is made of is counted where it is made.
            (Some(_), Source::Made(_)) => return Poll::Pending,
        };
        match &mut self.held {
            Some(held) => held.poll_wait(bytes, cx),
            None => Poll::Pending,
        }
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
            Source::Read(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Made(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        };
        if let (Some((meter, counters)), Poll::Ready(Some(Ok(frame)))) = (&mut this.meter, &polled)
            && let Some(data) = frame.data_ref()
        {
            counters.receive(meter.see(data));
        }
        if polled.is_pending()
            && let Poll::Ready(status) = this.wait(cx)
        {
            return Poll::Ready(Some(Err(status.into())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Incoming(body) => body.is_end_stream(),
            Source::Read(body) => body.is_end_stream(),
            Source::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Incoming(body) => body.size_hint(),
            Source::Read(body) => body.size_hint(),
            Source::Made(body) => body.size_hint(),
        }
    }
}

/// The body of any answer of the client port.
#[derive(Debug)]
pub enum DoorBody {
    /// All at once.
    Page(Full<Bytes>),
    /// In pieces, from its part of the budget.
    Kept(Kept),
    /// A gRPC answer that was counted already.
    Plain(tonic::body::Body),
    /// A gRPC answer that is counted when it ends, or as cancelled when nobody reads it to its end.
    Counted(Counted),
    /// Any of these, once its request has been read.
    Patient(Box<Patient>),
}

/// What a body says when it is asked for more.
type Polled = Option<Result<Frame<Bytes>, Status>>;

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
    /// Hands large answers out in pieces, from their parts of the budget.
    paced: Option<Box<Paced>>,
    /// What came when the answer was asked for before its client wanted it.
    ahead: Option<Box<Polled>>,
}

/// Large answers on their way: in pieces, so that what the client has not taken yet is still known to wait here, and can
/// be dropped.
#[derive(Debug)]
pub struct Paced {
    coming: Shares,
    /// The first holds the bytes; the others are those of messages that came in the same frame.
    current: Vec<Share>,
}

/// Bytes of a piece: what a frame takes. A connection buffers one or two of them.
const PIECE_BYTES: usize = 16 * 1024;

impl Paced {
    /// Answers whose shares come by this way.
    pub(super) fn new(coming: Shares) -> Paced {
        Paced { coming, current: Vec::new() }
    }

    /// Keeps the bytes of a frame, where they have a share.
    fn stow(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        self.current = self.coming.take();
        let Some(share) = self.current.first() else { return Some(frame) };
        share.keep_bytes(frame.into_data().unwrap_or_default());
        None
    }

    fn piece(&mut self) -> Polled {
        let piece = self.current.first()?.take_bytes(PIECE_BYTES).transpose();
        let piece = piece.map(|piece| piece.map_err(|_| self.coming.end()));
        if piece.is_none() {
            self.current.clear();
        }
        piece.map(|piece| piece.map(Frame::data))
    }
}

/// A page whose bytes are counted.
#[derive(Debug)]
pub struct Kept {
    share: Share,
    left: u64,
}

impl DoorBody {
    /// A page.
    pub fn page(bytes: Bytes) -> DoorBody {
        DoorBody::Page(Full::new(bytes))
    }

    /// A page that may be large and has this share of the budget.
    pub(super) fn kept(bytes: Bytes, share: Option<Share>) -> DoorBody {
        let Some(share) = share else { return DoorBody::page(bytes) };
        let left = bytes.len() as u64;
        share.keep_bytes(bytes);
        DoorBody::Kept(Kept { share, left })
    }

    /// The share that the bytes of this answer have.
    pub(super) fn share(&self) -> Option<Share> {
        match self {
            DoorBody::Counted(Counted { paced: Some(paced), .. }) => paced.current.first().cloned(),
            DoorBody::Patient(patient) => patient.answer().share(),
            _ => None,
        }
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
        let paced = paced.map(Box::new);
        let (meter, is_over, ahead) = (MessageMeter::default(), false, None);
        DoorBody::Counted(Counted {
            body,
            counters,
            meter,
            started,
            is_over,
            leaderless,
            paced,
            ahead,
        })
    }

    /// An answer of one message that has this share, which keeps it from now on: encoded here and not where the client
    /// wants it, because a client that wants nothing must not keep it from giving way.
    pub(super) fn with_share(self, share: Share) -> DoorBody {
        let DoorBody::Counted(mut counted) = self else { return self };
        let coming = Shares::default();
        coming.push(share);
        let mut paced = Paced::new(coming);
        counted.ahead = match counted.answer(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                paced.stow(frame).map(|frame| Box::new(Some(Ok(frame))))
            }
            Poll::Ready(other) => Some(Box::new(other)),
        };
        counted.paced = Some(Box::new(paced));
        DoorBody::Counted(counted)
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

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Polled> {
        match self.get_mut() {
            DoorBody::Page(page) => Pin::new(page).poll_frame(cx).map_err(|never| match never {}),
            DoorBody::Kept(kept) => Poll::Ready(kept.piece()),
            DoorBody::Plain(body) => Pin::new(body).poll_frame(cx),
            DoorBody::Counted(counted) => counted.poll_frame(cx),
            DoorBody::Patient(patient) => patient.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            DoorBody::Page(page) => page.is_end_stream(),
            DoorBody::Kept(kept) => kept.left == 0,
            DoorBody::Plain(body) => body.is_end_stream(),
            DoorBody::Counted(counted) => counted.is_end(),
            DoorBody::Patient(patient) => patient.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            DoorBody::Page(page) => page.size_hint(),
            DoorBody::Kept(kept) => SizeHint::with_exact(kept.left),
            DoorBody::Plain(body) => body.size_hint(),
            DoorBody::Counted(counted) => counted.body.size_hint(),
            DoorBody::Patient(patient) => patient.size(),
        }
    }
}

impl Kept {
    fn piece(&mut self) -> Polled {
        let piece = self.share.take_bytes(PIECE_BYTES).transpose()?;
        if let Ok(bytes) = &piece {
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Some(piece.map(Frame::data))
    }
}

impl Counted {
    fn is_end(&self) -> bool {
        let waits = self.paced.as_ref().is_some_and(|paced| !paced.current.is_empty());
        !waits && self.ahead.is_none() && self.body.is_end_stream()
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        if let Some(piece) = self.paced.as_mut().and_then(|paced| paced.piece()) {
            if let Err(status) = &piece {
                self.end(status.code());
            }
            return Poll::Ready(Some(piece));
        }
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(*ahead);
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        match (self.answer(cx), &mut self.paced) {
            (Poll::Ready(Some(Ok(frame))), Some(paced)) if frame.is_data() => {
                let whole = paced.stow(frame).map(Ok);
                Poll::Ready(whole.or_else(|| paced.piece()))
            }
            (polled, _) => polled,
        }
    }

    /// What comes next of the answer, counted.
    fn answer(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
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
                self.end(status.map_or(Code::Ok, |status| status.code()));
            }
        }
        polled
    }

    fn end(&mut self, code: Code) {
        self.counters.finish(code, self.started);
        self.is_over = true;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.is_over {
            self.counters.finish(Code::Cancelled, self.started);
        }
    }
}
