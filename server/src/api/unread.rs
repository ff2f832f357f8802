//! What a refused request had not sent yet: read for a while before its answer goes on, since a client that still sends
//! takes an early answer for a broken stream. Not for gRPC, whose clients know early answers.

use super::body::DoorBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// Longest time in which the rest of a request is read. What comes later is its client's own affair.
const READ_TIME: Duration = Duration::from_secs(1);

/// Where the rest of a request is left by whoever stops reading it.
type Place = Arc<Mutex<Option<Incoming>>>;

/// The body of a request, which comes to the answer when it is dropped before its end.
#[derive(Debug)]
pub struct Read {
    /// None only while it is dropped.
    body: Option<Incoming>,
    unread: Place,
}

/// Where the answer finds what was not read.
#[derive(Debug)]
pub struct Unread(Place);

/// An answer that waits until its request has been read, or for as long as [`READ_TIME`].
#[derive(Debug)]
pub struct Patient {
    answer: DoorBody,
    unread: Unread,
    ends: Option<Pin<Box<Sleep>>>,
}

impl Read {
    /// A body, and the place of what will not be read of it.
    pub fn new(body: Incoming) -> (Read, Unread) {
        let place = Place::default();
        (Read { body: Some(body), unread: place.clone() }, Unread(place))
    }

    fn is_over(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        if !self.is_over() {
            *self.unread.lock() = self.body.take();
        }
    }
}

impl Body for Read {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, hyper::Error>>> {
        match &mut self.get_mut().body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Unread {
    /// The answer to the request, which is read before it goes on.
    pub fn before(self, answer: DoorBody) -> DoorBody {
        DoorBody::Patient(Box::new(Patient { answer, unread: self, ends: None }))
    }

    fn is_none(&self) -> bool {
        self.0.lock().is_none()
    }

    /// Reads on and keeps nothing of it, up to the end or an error.
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut unread = self.0.lock();
        while let Some(body) = &mut *unread {
            if !matches!(ready!(Pin::new(body).poll_frame(cx)), Some(Ok(_))) {
                *unread = None;
            }
        }
        Poll::Ready(())
    }
}

impl Patient {
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unread.poll_read(cx).is_ready() {
            return Poll::Ready(());
        }
        let ends = self.ends.get_or_insert_with(|| Box::pin(sleep(READ_TIME)));
        ready!(ends.as_mut().poll(cx));
        *self.unread.0.lock() = None;
        Poll::Ready(())
    }

    /// What comes next of the answer.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        ready!(self.poll_unread(cx));
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    /// Whether nothing comes any more.
    pub(super) fn is_end(&self) -> bool {
        self.unread.is_none() && self.answer.is_end_stream()
    }

    /// Bytes that will come.
    pub(super) fn size(&self) -> SizeHint {
        self.answer.size_hint()
    }

    /// The answer itself.
    pub(super) fn answer(&self) -> &DoorBody {
        &self.answer
    }
}
