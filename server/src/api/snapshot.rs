//! `Maintenance.Snapshot`: the bbolt image in blobs of 32 KiB, then its SHA-256 (`reference/file-formats.md`, section 1).
//!
//! Nothing is written to disk and memory stays constant however large the state is.

use super::context::{Context, SharedContext};
use super::status;
use crate::storage::Image;
use quorate_proto::etcdserverpb::SnapshotResponse;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Bytes in one message.
const BLOB_BYTES: usize = 32 * 1024;
/// Blobs that wait for the client.
const BLOB_QUEUE: usize = 16;
/// Snapshots under way at a time. Each holds a thread and an old view of the state; clients that ask for many and read
/// none must not take them from everybody else.
static PLACES: Semaphore = Semaphore::const_new(16);
/// A client that takes nothing for so long gets no more.
const STALL_MAX: Duration = Duration::from_secs(300);

/// Begins to stream a snapshot of the state as it is now.
///
/// # Errors
/// Too many others are under way.
pub fn start(
    context: &SharedContext,
) -> Result<impl Stream<Item = Result<SnapshotResponse, Status>> + use<>, Status> {
    let place = PLACES.try_acquire().map_err(|_| status::too_many_requests())?;
    let (sender, receiver) = mpsc::channel(BLOB_QUEUE);
    let context = context.clone();
    tokio::task::spawn_blocking(move || {
        let timer = context.metrics.disk.backend_snapshot.start_timer();
        match send_image(&context, &sender) {
            Ok(size) => {
                timer.observe_duration();
                tracing::info!(total_bytes = size, "successfully sent database snapshot to client");
            }
            Err(error) => {
                timer.stop_and_discard();
                tracing::warn!(%error, "snapshot was not sent whole");
                // The client may be the reason and be gone.
                let _ = sender.try_send(Err(Status::unknown(format!("etcdserver: {error}"))));
            }
        }
        drop(place);
    });
    Ok(ReceiverStream::new(receiver))
}

fn send_image(
    context: &Context,
    sender: &mpsc::Sender<Result<SnapshotResponse, Status>>,
) -> io::Result<u64> {
    let view = context.state.backend.view().map_err(io::Error::other)?;
    let image = Image::new(view)?;
    let size = image.size();
    let mut blobs = Blobs {
        sender,
        remaining: size,
        digest: Sha256::new(),
        blob: Vec::with_capacity(BLOB_BYTES),
        version: context.state.storage_version(),
    };
    image.write(&mut blobs)?;
    blobs.finish()?;
    Ok(size)
}

/// Cuts what is written into messages.
struct Blobs<'a> {
    sender: &'a mpsc::Sender<Result<SnapshotResponse, Status>>,
    remaining: u64,
    digest: Sha256,
    blob: Vec<u8>,
    /// Storage version of what is sent.
    version: String,
}

impl Blobs<'_> {
    fn send(&mut self) -> io::Result<()> {
        let blob = std::mem::replace(&mut self.blob, Vec::with_capacity(BLOB_BYTES));
        let message = SnapshotResponse {
            header: None,
            remaining_bytes: self.remaining,
            blob: blob.into(),
            version: self.version.clone(),
        };
        let sending = async {
            match self.sender.send_timeout(Ok(message), STALL_MAX).await {
                Ok(()) => Ok(()),
                Err(SendTimeoutError::Closed(_)) => {
                    Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))
                }
                Err(SendTimeoutError::Timeout(_)) => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing"))
                }
            }
        };
        Handle::current().block_on(sending)
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.blob.is_empty() {
            self.send()?;
        }
        self.blob = std::mem::take(&mut self.digest).finalize().to_vec();
        self.send()
    }
}

impl Write for Blobs<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(BLOB_BYTES - self.blob.len());
        self.blob.extend_from_slice(&data[..taken]);
        self.digest.update(&data[..taken]);
        self.remaining = self.remaining.saturating_sub(taken as u64);
        if self.blob.len() == BLOB_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
