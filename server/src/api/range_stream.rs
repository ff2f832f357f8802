//! `KV.RangeStream`: one range in chunks of one revision (`reference/etcd-api.md`, section 5.2).

use super::context::SharedContext;
use super::status;
use crate::auth::Caller;
use crate::mvcc::{RangeChunk, RangeStream};
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Chunks that wait for the client.
const CHUNK_QUEUE: usize = 2;

/// Begins to stream a range that has been checked, by the rights of `caller`.
pub fn start(
    context: &SharedContext,
    request: RangeRequest,
    caller: Caller,
) -> impl Stream<Item = Result<RangeStreamResponse, Status>> + use<> {
    let (sender, receiver) = mpsc::channel(CHUNK_QUEUE);
    let context = context.clone();
    tokio::spawn(async move {
        let chunk_bytes = context.limits.request_bytes_max;
        let mut stream = RangeStream::new(context.state.store(), request, chunk_bytes);
        // The place first: a client that does not read must not hold one of the threads that read for everybody.
        while let Ok(place) = sender.reserve().await {
            let read = move || (stream.next_chunk(), stream);
            let chunk = match tokio::task::spawn_blocking(read).await {
                Ok((chunk, rest)) => {
                    stream = rest;
                    chunk
                }
                Err(error) => return place.send(Err(Status::internal(error.to_string()))),
            };
            let answer = match chunk {
                // A right that went away while the stream ran ends it.
                Ok(Some(chunk)) => {
                    let unchanged = context.check_unchanged(&caller).map_err(Status::from);
                    unchanged.map(|()| response(&context, chunk))
                }
                Ok(None) => return,
                Err(error) => Err(status::from_mvcc(&error)),
            };
            let is_end = answer.is_err();
            place.send(answer);
            if is_end {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// A target other than the key without an order: etcd sorts ascending, so it answers in one piece.
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

fn response(context: &SharedContext, chunk: RangeChunk) -> RangeStreamResponse {
    let mut range = RangeResponse { kvs: chunk.kvs, ..RangeResponse::default() };
    if let Some(end) = chunk.end {
        range.header = context.header(end.revision);
        range.more = end.more;
        range.count = end.count;
    }
    RangeStreamResponse { range_response: Some(range) }
}
