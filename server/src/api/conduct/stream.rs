//! A client's connection that is watched as its bytes pass by, and parted from with a GOAWAY. No byte is held or changed.

use super::frames::{Walk, goaway_calm};
use super::rules::{Conduct, Fault};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A watched connection.
#[derive(Debug)]
pub struct Watched<S> {
    connection: S,
    inbound: Walk,
    outbound: Walk,
    conduct: Conduct,
    parting: Option<Parting>,
}

/// What is left to send before the connection ends.
#[derive(Debug)]
struct Parting {
    goaway: Vec<u8>,
    sent: usize,
}

impl<S> Watched<S> {
    /// Wraps a connection of which nothing has been read. Pings that are closer than `ping_min` are too many.
    pub fn new(connection: S, ping_min: Duration) -> Watched<S> {
        Watched {
            connection,
            inbound: Walk::of_client(),
            outbound: Walk::of_server(),
            conduct: Conduct::new(ping_min),
            parting: None,
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        let mut fault: Option<Fault> = None;
        let conduct = &mut self.conduct;
        self.inbound.over(bytes, |frame| {
            fault = fault.or_else(|| conduct.received(&frame, Instant::now));
        });
        let Some(text) = fault else { return };
        tracing::warn!(reason = text, "ending a client connection with ENHANCE_YOUR_CALM");
        // In the middle of a frame of our own there is no place for another: the end has to speak for itself.
        let goaway = match self.outbound.is_between_frames() {
            true => goaway_calm(self.conduct.newest_stream(), text),
            false => Vec::new(),
        };
        self.parting = Some(Parting { goaway, sent: 0 });
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if self.inbound.is_http2() {
            let conduct = &mut self.conduct;
            self.outbound.over(bytes, |frame| conduct.sent(&frame));
        }
    }
}

fn parted() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client was told to calm down")
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Sends what is left; then the client's stream is at its end for whoever reads it.
    fn part(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(parting) = &mut self.parting else { return Poll::Ready(Ok(())) };
        while parting.sent < parting.goaway.len() {
            let rest = &parting.goaway[parting.sent..];
            match ready!(Pin::new(&mut self.connection).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(parted())),
                sent => parting.sent += sent,
            }
        }
        ready!(Pin::new(&mut self.connection).poll_flush(context))?;
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.parting.is_none() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.connection).poll_read(context, buffer))?;
            this.look(&buffer.filled()[before..]);
            if this.parting.is_none() {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
        this.part(context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.parting.is_some() {
            return Poll::Ready(Err(parted()));
        }
        let written = ready!(Pin::new(&mut self.connection).poll_write(context, bytes))?;
        self.wrote(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.parting.is_some() {
            return Poll::Ready(Err(parted()));
        }
        let written = ready!(Pin::new(&mut self.connection).poll_write_vectored(context, slices))?;
        let mut left = written;
        for slice in slices {
            let length = left.min(slice.len());
            self.wrote(&slice[..length]);
            left -= length;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}
