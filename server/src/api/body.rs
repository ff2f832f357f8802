//! Bodies of calls, from a socket or made here, and of answers: a page, or a stream whose end is counted by its code.

use super::budget::Share;
use super::leaderless::Leaderless;
use super::methods::Method;
use crate::metrics::Metrics;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use prometheus::{IntCounter, IntCounterVec};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tonic::{Code, Status};

/// Counters of one method, looked up once.
#[derive(Debug)]
pub struct CallCounters {
    path: &'static str,
    labels: [&'static str; 3],
    started: IntCounter,
    received: IntCounter,
    sent: IntCounter,
    handled_ok: IntCounter,
    handled: IntCounterVec,
}

impl CallCounters {
    /// Registers a method with all its counters at zero.
    pub fn new(metrics: &Metrics, method: &'static Method) -> CallCounters {
        let (service, name) = method.names();
        let labels = [method.shape.label(), service, name];
        CallCounters {
            path: method.path,
            labels,
            started: metrics.grpc_started.with_label_values(&labels),
            received: metrics.grpc_received.with_label_values(&labels),
            sent: metrics.grpc_sent.with_label_values(&labels),
            handled_ok: metrics
                .grpc_handled
                .with_label_values(&[labels[0], labels[1], labels[2], "OK"]),
            handled: metrics.grpc_handled.clone(),
        }
    }

    /// The method's path.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Counts a call that begins.
    pub fn start(&self) {
        self.started.inc();
        self.received.inc();
    }

    /// Counts a call that ended.
    pub fn finish(&self, code: Code) {
        if code == Code::Ok {
            self.handled_ok.inc();
            return;
        }
        let [shape, service, method] = self.labels;
        self.handled.with_label_values(&[shape, service, method, code_name(code)]).inc();
    }
}

/// grpc-go's names of codes, as it writes them into labels and texts.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// The body of a call.
#[derive(Debug)]
pub enum CallBody {
    /// As it comes from the client.
    Incoming(Incoming),
    /// Made in this process.
    Made(tonic::body::Body),
}

impl CallBody {
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
        CallBody::Made(tonic::body::Body::new(body))
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            CallBody::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            CallBody::Made(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            CallBody::Incoming(body) => body.is_end_stream(),
            CallBody::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            CallBody::Incoming(body) => body.size_hint(),
            CallBody::Made(body) => body.size_hint(),
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
    Counted {
        /// The answer.
        body: tonic::body::Body,
        /// Where it is counted.
        counters: Arc<CallCounters>,
        /// Set once counted.
        is_counted: AtomicBool,
        /// Ends a stream whose caller wants a leader.
        leaderless: Option<Leaderless>,
        /// Holds a large answer's part of the budget, and hands the answer out in pieces.
        paced: Option<Paced>,
    },
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

    /// A gRPC answer whose end is to be counted.
    pub(super) fn counted(
        body: tonic::body::Body,
        counters: Arc<CallCounters>,
        leaderless: Option<Leaderless>,
        paced: Option<Paced>,
    ) -> DoorBody {
        DoorBody::Counted { body, counters, is_counted: AtomicBool::new(false), leaderless, paced }
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
            DoorBody::Counted { body, counters, is_counted, leaderless, paced } => {
                if let Some(paced) = paced.as_mut().filter(|paced| !paced.rest.is_empty()) {
                    return Poll::Ready(Some(Ok(paced.piece())));
                }
                if is_counted.load(Ordering::Relaxed) {
                    return Poll::Ready(None);
                }
                let mut polled = Pin::new(body).poll_frame(cx);
                if polled.is_pending()
                    && let Some(leaderless) = leaderless
                    && let Poll::Ready(status) = leaderless.poll(cx)
                {
                    let trailers = trailers(&status);
                    polled = Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    match frame.trailers_ref() {
                        Some(trailers) => {
                            let status = Status::from_header_map(trailers);
                            counters.finish(status.map_or(Code::Ok, |status| status.code()));
                            is_counted.store(true, Ordering::Relaxed);
                        }
                        None => counters.sent.inc(),
                    }
                }
                match (polled, paced) {
                    (Poll::Ready(Some(Ok(frame))), Some(paced)) if frame.is_data() => {
                        paced.rest = frame.into_data().unwrap_or_default();
                        Poll::Ready(Some(Ok(paced.piece())))
                    }
                    (polled, _) => polled,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            DoorBody::Page(page) => page.is_end_stream(),
            DoorBody::Plain(body) | DoorBody::Counted { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            DoorBody::Page(page) => page.size_hint(),
            DoorBody::Plain(body) | DoorBody::Counted { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for DoorBody {
    fn drop(&mut self) {
        if let DoorBody::Counted { counters, is_counted, .. } = self
            && !is_counted.load(Ordering::Relaxed)
        {
            counters.finish(Code::Cancelled);
        }
    }
}
