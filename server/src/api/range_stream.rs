//! `KV.RangeStream`: one range in chunks of one revision (`reference/etcd-api.md`, section 5.2).

use super::budget::{Pulse, Share, Shares};
use super::context::{Context, SharedContext};
use super::status;
use crate::auth::Caller;
use crate::mvcc::{RangeChunk, RangeStream};
use prost::Message;
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

/// Chunks that wait for the client, beside the one it is taking.
const CHUNK_QUEUE: usize = 1;

/// A chunk, in its share of the budget where it has one.
enum Chunk {
    Small(RangeStreamResponse),
    Kept(Share),
}

/// Chunks on their way. Their shares go ahead to where they are sent.
struct Chunks {
    waiting: mpsc::Receiver<Result<Chunk, Status>>,
    shares: Shares,
}

impl Stream for Chunks {
    type Item = Result<RangeStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.waiting.poll_recv(cx)) {
            None => None,
            Some(Err(status)) => Some(Err(status)),
            Some(Ok(Chunk::Small(answer))) => Some(Ok(answer)),
            Some(Ok(Chunk::Kept(share))) => {
                let answer = share.take_chunk();
                self.shares.push(share);
                Some(answer)
            }
        })
    }
}

/// Begins to stream a range that has been checked, by the rights of `caller`. Returns the way of the chunks' shares too.
pub fn start(
    context: &SharedContext,
    request: RangeRequest,
    caller: Caller,
) -> (impl Stream<Item = Result<RangeStreamResponse, Status>> + use<>, Shares) {
    let (sender, receiver) = mpsc::channel(CHUNK_QUEUE);
    let (context, shares) = (context.clone(), Shares::default());
    tokio::spawn(async move {
        let chunk_bytes = context.limits.request_bytes_max;
        let mut stream = RangeStream::new(context.state.store(), request, chunk_bytes);
        let pulse = Pulse::new();
        // The place first: a client that does not read must not hold one of the threads that read for everybody.
        while let Ok(place) = sender.reserve().await {
            match next(&context, stream, &caller, &pulse).await {
                Ok((Some(chunk), rest)) => {
                    place.send(Ok(chunk));
                    stream = rest;
                }
                Ok((None, _)) => return,
                Err(status) => return place.send(Err(status)),
            }
        }
    });
    (Chunks { waiting: receiver, shares: shares.clone() }, shares)
}

/// Reads the next chunk off the serving thread.
async fn next(
    context: &Context,
    mut stream: RangeStream,
    caller: &Caller,
    pulse: &Pulse,
) -> Result<(Option<Chunk>, RangeStream), Status> {
    let reading = context.answers.read().await?;
    let read = tokio::task::spawn_blocking(move || (stream.next_chunk(), stream)).await;
    let (chunk, stream) = read.map_err(|error| Status::internal(error.to_string()))?;
    let Some(chunk) = chunk.map_err(|error| status::from_mvcc(&error))? else {
        return Ok((None, stream));
    };
    // A right that went away while the stream ran ends it.
    context.check_unchanged(caller)?;
    let answer = response(context, chunk);
    let share = reading.share_of(answer.encoded_len(), pulse.clone()).await?;
    let chunk = match share {
        None => Chunk::Small(answer),
        Some(share) => {
            share.keep_chunk(answer);
            Chunk::Kept(share)
        }
    };
    Ok((Some(chunk), stream))
}

/// A target other than the key without an order sorts ascending by it, so the whole has to be read before the first pair
/// can be sent.
pub fn is_sorted_whole(request: &RangeRequest) -> bool {
    request.sort_target() != SortTarget::Key && request.sort_order() == SortOrder::None
}

/// Refuses what a stream cannot honour.
pub fn check(request: &RangeRequest) -> Result<(), Status> {
    let is_by_key =
        request.sort_target() == SortTarget::Key && request.sort_order() != SortOrder::Descend;
    if !is_by_key && request.sort_order() != SortOrder::None {
        return Err(Status::unimplemented("RangeStream does not support custom sort orders"));
    }
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filters.iter().any(|filter| *filter != 0) {
        return Err(Status::unimplemented("RangeStream does not support revision filters"));
    }
    Ok(())
}

fn response(context: &Context, chunk: RangeChunk) -> RangeStreamResponse {
    let mut range = RangeResponse { kvs: chunk.kvs, ..RangeResponse::default() };
    if let Some(end) = chunk.end {
        range.header = context.header(end.revision);
        range.more = end.more;
        range.count = end.count;
    }
    RangeStreamResponse { range_response: Some(range) }
}
