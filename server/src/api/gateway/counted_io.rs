//! Counts what a websocket has read of a message that is not whole, in the budget of requests that are still coming. It
//! does not know websockets' framing: whoever takes messages says what was whole.

use crate::api::intake::{Held, Intake};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that have been read and belong to no message that was taken.
#[derive(Clone, Debug, Default)]
pub struct Unfinished(Arc<AtomicUsize>);

impl Unfinished {
    /// All that came is of messages that were taken.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// So many bytes were of something that is no part of a message.
    pub fn forgive(&self, bytes: usize) {
        let less = |unfinished: usize| Some(unfinished.saturating_sub(bytes));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// The socket below.
#[derive(Debug)]
pub struct CountedIo<S> {
    inner: S,
    unfinished: Unfinished,
    held: Held,
}

impl<S> CountedIo<S> {
    /// Counts what is read of `inner`.
    pub fn new(inner: S, intake: Arc<Intake>) -> (CountedIo<S>, Unfinished) {
        let unfinished = Unfinished::default();
        let held = Held::new(intake);
        (CountedIo { inner, unfinished: unfinished.clone(), held }, unfinished)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            let read = buffer.filled().len() - before;
            this.unfinished.0.fetch_add(read, Ordering::Relaxed);
            return polled;
        }
        let unfinished = this.unfinished.0.load(Ordering::Relaxed);
        let waits = this.held.poll_wait(unfinished, cx);
        waits.map(|status| Err(io::Error::other(status)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
