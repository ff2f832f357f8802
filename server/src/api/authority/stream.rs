//! The connection from which a server reads only authorities that it understands; what it writes is not touched.
//!
//! A read goes straight into the reader's buffer and is looked at there. Bytes are copied only from a header block (or
//! a frame's first nine bytes) that one read did not bring whole, and from a block that needs another authority on.

use super::frames::{Next, Walk, Walked};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's connection whose requests all have an authority that `h2` accepts.
#[derive(Debug)]
pub struct RepairAuthority<S> {
    connection: S,
    walk: Walk,
    held: Held,
}

/// Bytes that were read and have not been given to the reader.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// How many of them the reader has.
    given: usize,
    /// How many of them may go to the reader.
    ready: usize,
    /// How many bytes must follow before more can be ready. Zero when that is not known.
    missing: usize,
}

impl<S> RepairAuthority<S> {
    /// Wraps a connection of which nothing has been read.
    pub fn new(connection: S) -> RepairAuthority<S> {
        RepairAuthority { connection, walk: Walk::new(), held: Held::default() }
    }
}

impl Held {
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = buffer.remaining().min(self.ready - self.given);
        buffer.put_slice(&self.bytes[self.given..self.given + length]);
        self.given += length;
        if self.given == self.bytes.len() {
            // An idle connection holds no memory.
            *self = Held::default();
        }
    }

    /// Looks at what is not ready.
    fn walk(&mut self, walk: &mut Walk) {
        self.bytes.drain(..self.given);
        self.ready -= self.given;
        self.given = 0;
        let walked = walk.over(&self.bytes[self.ready..]);
        self.ready += walked.through;
        match walked.next {
            Next::End => {}
            Next::Missing(missing) => self.missing = missing,
            Next::Replace(old, new) => {
                let added = new.len();
                self.bytes.splice(self.ready..self.ready + old, new);
                self.ready += added;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> RepairAuthority<S> {
    /// Reads into the reader's buffer and takes back what cannot stay there. Leaves the buffer as it was at the end of
    /// the connection, and when all was taken back.
    fn read_straight(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        let Walked { through, next } = self.walk.over(read);
        match next {
            Next::End => return Poll::Ready(Ok(())),
            Next::Missing(missing) => {
                self.held.bytes = read[through..].to_vec();
                self.held.missing = missing;
            }
            Next::Replace(old, new) => {
                self.held.ready = new.len();
                self.held.bytes = new;
                self.held.bytes.extend_from_slice(&read[through + old..]);
            }
        }
        buffer.set_filled(before + through);
        Poll::Ready(Ok(()))
    }

    /// Reads what is missing behind the held bytes, in as many calls as it takes.
    fn read_missing(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let held = &mut self.held;
        let before = held.bytes.len();
        held.bytes.resize(before + held.missing, 0);
        let mut rest = ReadBuf::new(&mut held.bytes[before..]);
        let result = Pin::new(&mut self.connection).poll_read(context, &mut rest);
        let read = rest.filled().len();
        held.bytes.truncate(before + read);
        ready!(result)?;
        held.missing -= read;
        if read == 0 {
            // The connection ended in the middle of a frame: what there is goes to the reader as it is.
            held.missing = 0;
            held.ready = held.bytes.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RepairAuthority<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.walk.is_over() && this.held.bytes.is_empty() {
            return Pin::new(&mut this.connection).poll_read(context, buffer);
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        loop {
            if this.held.given < this.held.ready {
                this.held.give(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.held.bytes.is_empty() {
                ready!(this.read_straight(context, buffer))?;
                if buffer.filled().len() > before || this.held.bytes.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            } else if this.held.missing > 0 {
                ready!(this.read_missing(context))?;
            } else {
                this.held.walk(&mut this.walk);
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RepairAuthority<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
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
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}
