//! Watches that survive a member: after a break the watcher goes on, on the next endpoint, from the revision after
//! the last one it has seen. Events come once, in order, without gaps; a gap that cannot be closed is an error.

use crate::call::Client;
use crate::error::{ClientError, Result};
use bytes::Bytes;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::mvccpb::Event;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// Requests waiting to be sent on one watch stream: a create and a few progress requests.
const REQUEST_QUEUE: usize = 16;

/// Pauses between attempts to reconnect: doubled from the first to the second, with jitter.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// The key, or the first key of an interval.
    pub key: Bytes,
    /// End of the interval; empty for a single key (see [`crate::prefix_end`]).
    pub range_end: Bytes,
    /// First revision wanted; 0 means from now on.
    pub start_revision: i64,
    /// Also deliver the pair before each change.
    pub prev_kv: bool,
    /// Have the server say "nothing happened up to revision N" from time to time.
    pub progress_notify: bool,
    /// Leave out puts or deletes.
    pub filters: Vec<pb::watch_create_request::FilterType>,
    /// Let the server cut large messages; the watcher puts them together again.
    pub fragment: bool,
}

/// The Watch service.
#[derive(Clone)]
pub struct WatchClient(Client);

impl Client {
    /// The Watch service.
    pub fn watch(&self) -> WatchClient {
        WatchClient(self.clone())
    }
}

impl WatchClient {
    /// Makes a watcher; the stream is opened by its first [`Watcher::next`].
    pub fn start(&self, options: WatchOptions) -> Watcher {
        let next_revision = options.start_revision;
        Watcher {
            client: self.0.clone(),
            options,
            link: None,
            next_revision,
            pieces: Vec::new(),
            pause: PAUSE_FIRST,
            is_over: false,
            closing: None,
        }
    }
}

struct Link {
    requests: mpsc::Sender<pb::WatchRequest>,
    answers: Streaming<pb::WatchResponse>,
    endpoint_number: usize,
    endpoint: String,
}

/// One watch. Dropping it cancels it.
pub struct Watcher {
    client: Client,
    options: WatchOptions,
    link: Option<Link>,
    /// Where to go on after a break; 0 until the server has named a revision.
    next_revision: i64,
    /// Events of a message that the server has cut and not yet finished.
    pieces: Vec<Event>,
    pause: Duration,
    is_over: bool,
    /// The message by which the server ended the watch.
    closing: Option<pb::WatchResponse>,
}

/// Asks a running watcher's stream for a progress message.
#[derive(Clone)]
pub struct Progress(mpsc::Sender<pb::WatchRequest>);

impl Progress {
    /// Sends the request; the answer comes as a message without events. False if the stream is gone.
    pub fn request(&self) -> bool {
        let union = pb::watch_request::RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
        self.0.try_send(pb::WatchRequest { request_union: Some(union) }).is_ok()
    }
}

impl Watcher {
    /// The next message: events, a progress notice (no events), or the confirmation of the creation (`created`, sent
    /// again after each reconnection). Safe to drop while waiting.
    ///
    /// # Errors
    /// [`ClientError::Compacted`] if the wanted history is gone, [`ClientError::WatchCanceled`] if the server refuses,
    /// or an error that reconnecting cannot mend. After an error the watcher is over: `None`.
    pub async fn next(&mut self) -> Option<Result<pb::WatchResponse>> {
        while !self.is_over {
            if self.link.is_none()
                && let Err(error) = self.open().await
            {
                if let Some(error) = self.mend(error).await {
                    return self.end(error);
                }
                continue;
            }
            let Some(link) = &mut self.link else { continue };
            let error = match link.answers.message().await {
                Ok(Some(message)) => match self.take(message) {
                    Ok(Some(message)) => return Some(Ok(message)),
                    Ok(None) => continue,
                    Err(error) => return self.end(error),
                },
                Ok(None) => {
                    let status = tonic::Status::unavailable("watch stream was ended");
                    ClientError::from_status(&link.endpoint, status)
                }
                Err(status) => ClientError::from_status(&link.endpoint, status),
            };
            self.client.pool.move_on(link.endpoint_number);
            self.link = None;
            self.pieces.clear();
            if let Some(error) = self.mend(error).await {
                return self.end(error);
            }
        }
        None
    }

    /// A handle for progress requests on the present stream, if there is one.
    pub fn progress(&self) -> Option<Progress> {
        self.link.as_ref().map(|link| Progress(link.requests.clone()))
    }

    /// The message by which the server ended the watch, if it did.
    pub fn closing(&self) -> Option<&pb::WatchResponse> {
        self.closing.as_ref()
    }

    /// The revision the watch would go on from after a break; 0 before the server has named one.
    pub fn next_revision(&self) -> i64 {
        self.next_revision
    }

    fn end(&mut self, error: ClientError) -> Option<Result<pb::WatchResponse>> {
        self.is_over = true;
        self.link = None;
        Some(Err(error))
    }

    async fn open(&mut self) -> Result<()> {
        let create = pb::WatchCreateRequest {
            key: self.options.key.clone(),
            range_end: self.options.range_end.clone(),
            start_revision: self.next_revision,
            progress_notify: self.options.progress_notify,
            filters: self.options.filters.iter().map(|filter| *filter as i32).collect(),
            prev_kv: self.options.prev_kv,
            watch_id: 0,
            fragment: self.options.fragment,
        };
        let union = pb::watch_request::RequestUnion::CreateRequest(create);
        let (requests, receiver) = mpsc::channel(REQUEST_QUEUE);
        // Before the stream is opened: servers answer the opening only after the first request.
        let _ = requests.try_send(pb::WatchRequest { request_union: Some(union) });
        let (endpoint_number, answers) =
            self.client.bidi_stream(WATCH, ReceiverStream::new(receiver)).await?;
        let endpoint = self.client.current_endpoint();
        self.link = Some(Link { requests, answers, endpoint_number, endpoint });
        Ok(())
    }

    /// Pauses before the next attempt; gives the error back if another attempt cannot help.
    async fn mend(&mut self, error: ClientError) -> Option<ClientError> {
        let token_refused = error.etcd() == Some(crate::EtcdError::InvalidAuthToken);
        if token_refused {
            self.client.session.forget_any().await;
        }
        let broken = error.is_retryable() || matches!(error.code(), Code::Internal | Code::Unknown);
        let refused = error.etcd().is_some_and(|_| !error.is_unavailable());
        if !token_refused && (!broken || refused) {
            return Some(error);
        }
        tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.75..1.25))).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        None
    }

    /// Digests a message: notes its revision, joins pieces, turns cancellations into errors.
    fn take(&mut self, mut message: pb::WatchResponse) -> Result<Option<pb::WatchResponse>> {
        self.pause = PAUSE_FIRST;
        if message.compact_revision != 0 || message.canceled {
            self.closing = Some(message.clone());
        }
        if message.compact_revision != 0 {
            return Err(ClientError::Compacted { compact_revision: message.compact_revision });
        }
        if message.canceled {
            let reason = if message.cancel_reason.is_empty() {
                crate::EtcdError::FutureRevision.text().to_owned()
            } else {
                message.cancel_reason
            };
            return Err(ClientError::WatchCanceled { reason });
        }
        if message.fragment {
            self.pieces.append(&mut message.events);
            return Ok(None);
        }
        if !self.pieces.is_empty() {
            let mut events = std::mem::take(&mut self.pieces);
            events.append(&mut message.events);
            message.events = events;
        }
        let header = message.header.as_ref().map_or(0, |header| header.revision);
        let last = message.events.last().and_then(|event| event.kv.as_ref());
        match last {
            Some(kv) => self.next_revision = kv.mod_revision + 1,
            // The confirmation names "now" for a watch from now on, and nothing for one of the past; a progress
            // notice promises that everything up to its revision has been sent.
            None if message.created && self.next_revision != 0 => {}
            None => self.next_revision = self.next_revision.max(header + 1),
        }
        Ok(Some(message))
    }
}

impl Watcher {
    /// The messages as a stream.
    pub fn into_stream(self) -> impl futures::Stream<Item = Result<pb::WatchResponse>> + Send {
        futures::stream::unfold(self, |mut watcher| async move {
            watcher.next().await.map(|message| (message, watcher))
        })
    }
}
