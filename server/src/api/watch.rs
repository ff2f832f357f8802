//! The Watch service (`reference/etcd-api.md`, section 6): one stream, many watchers.
//!
//! A stream is no task of its own: the connection asks it for the next message, and it looks at the client's requests
//! and at the hub's deliveries. So a client that does not read costs nothing but its bounded queue.

use super::auth_caller::Credentials;
use super::body::CallBody;
use super::budget::Shares;
use super::context::SharedContext;
use super::services::{Encoding, GRPC_OVERHEAD_BYTES};
use super::status::grpc_text;
use super::watch_codec::{WatchCodec, WatchFrame};
use super::watch_rights::WatchRights;
use crate::mvcc::watch::{Delivery, DeliveryBody, WatchCreate, WatchRefusal, WatchStream};
use futures::Stream;
use http::{Request as HttpRequest, Response as HttpResponse};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};

/// Watch id of an answer to a watcher that was not created.
const NO_WATCHER: i64 = -1;
/// No more requests are taken while this many messages wait for the client.
const WAITING_MAX: usize = 1024;
/// Deliveries that are passed on before the stream listens to anything else again.
const DELIVERIES_IN_A_ROW: u32 = 16;

type Frames = Pin<Box<dyn Stream<Item = Result<WatchFrame, Status>> + Send>>;

/// Handler of the Watch service.
#[derive(Clone)]
pub struct WatchApi {
    context: SharedContext,
    request_bytes_max: usize,
    encoding: Encoding,
}

impl WatchApi {
    /// Handler of a member; requests may have up to `request_bytes_max` bytes.
    pub fn new(context: SharedContext, request_bytes_max: usize, encoding: Encoding) -> WatchApi {
        WatchApi { context, request_bytes_max, encoding }
    }

    /// Answers a call.
    pub async fn call(&self, request: HttpRequest<CallBody>) -> HttpResponse<tonic::body::Body> {
        let mut grpc = Grpc::new(WatchCodec)
            .apply_max_message_size_config(Some(self.request_bytes_max), Some(i32::MAX as usize));
        if self.encoding == Encoding::Gzip {
            let gzip = CompressionEncoding::Gzip;
            grpc = grpc.accept_compressed(gzip).send_compressed(gzip);
        }
        grpc.streaming(Handler(self.context.clone()), request).await
    }
}

struct Handler(SharedContext);

impl tower::Service<Request<Streaming<WatchRequest>>> for Handler {
    type Response = Response<Frames>;
    type Error = Status;
    type Future = std::future::Ready<Result<Response<Frames>, Status>>;

    fn poll_ready(&mut self, _cx: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<WatchRequest>>) -> Self::Future {
        let credentials = Credentials::of(request.metadata(), request.extensions());
        let rights = WatchRights::new(self.0.clone(), credentials);
        let session = Session::new(self.0.clone(), request.into_inner(), rights);
        let shares = session.shares.clone();
        let frames = futures::stream::unfold(session, |mut session| async move {
            let frame = session.next().await?;
            Some((frame, session))
        });
        let mut response: Self::Response = Response::new(Box::pin(frames));
        response.extensions_mut().insert(shares);
        std::future::ready(Ok(response))
    }
}

/// One stream of one client.
struct Session {
    context: SharedContext,
    requests: Streaming<WatchRequest>,
    /// The client may end its side and go on listening.
    has_requests: bool,
    stream: WatchStream,
    rights: WatchRights,
    outbox: VecDeque<WatchFrame>,
    /// Those of large messages, on their way to the client.
    shares: Shares,
    progress: tokio::time::Interval,
    stop: watch::Receiver<bool>,
    generation: watch::Receiver<u64>,
    is_over: bool,
    in_a_row: u32,
}

/// What a stream waits for.
enum Happened {
    Delivery(Delivery),
    Request(Option<WatchRequest>),
    ProgressTick,
    RightsChanged,
    End,
}

/// Waits until `stop` turns true; a dropped sender counts as true.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// etcd adds up to a tenth, so that the notices of many streams do not come all at once.
fn jittered(period: Duration) -> Duration {
    period + period.mul_f64(rand::random::<f64>() / 10.0)
}

impl Session {
    fn new(
        context: SharedContext,
        requests: Streaming<WatchRequest>,
        rights: WatchRights,
    ) -> Session {
        // The generation first: a store that is replaced in between ends the stream at once.
        let generation = context.state.generation();
        Session {
            requests,
            has_requests: true,
            stream: context.state.store().watch_stream(),
            rights,
            outbox: VecDeque::new(),
            shares: Shares::of_resumable(),
            progress: interval(jittered(context.limits.progress_interval)),
            stop: context.stop.clone(),
            generation,
            is_over: false,
            in_a_row: 0,
            context,
        }
    }

    async fn next(&mut self) -> Option<Result<WatchFrame, Status>> {
        loop {
            if let Some(frame) = self.outbox.front() {
                // The message stays in the outbox while its room is waited for, so that it is not lost with this future.
                let share = self.context.answers.share_of_stream(frame.events_len()).await;
                share.into_iter().for_each(|share| self.shares.push(share));
                let frame = self.outbox.pop_front();
                if self.outbox.is_empty() {
                    self.stream.handed_on();
                }
                return frame.map(Ok);
            }
            if self.is_over {
                return None;
            }
            if let Err(status) = self.step().await {
                self.is_over = true;
                return Some(Err(status));
            }
        }
    }

    /// Waits for one thing to happen and puts what it says into the outbox.
    async fn step(&mut self) -> Result<(), Status> {
        let happened = match self.take_ready() {
            Some(delivery) => Happened::Delivery(delivery),
            None => self.wait().await?,
        };
        // Before anything goes out: what was published after a change of rights is shown by the new ones.
        self.rights.refresh(&self.stream).await;
        match happened {
            Happened::Delivery(delivery) => self.deliver_timed(delivery),
            Happened::Request(Some(request)) => self.take(request).await,
            Happened::RightsChanged => {}
            Happened::Request(None) => self.has_requests = false,
            Happened::ProgressTick => self.stream.tick_progress(),
            Happened::End => return Err(EtcdError::Stopped.into()),
        }
        Ok(())
    }

    /// A delivery that is there already, so that a busy stream need not listen to everything else each time; now and
    /// then it must.
    fn take_ready(&mut self) -> Option<Delivery> {
        let delivery =
            (self.in_a_row < DELIVERIES_IN_A_ROW).then(|| self.stream.try_recv()).flatten();
        self.in_a_row = if delivery.is_some() { self.in_a_row + 1 } else { 0 };
        delivery
    }

    async fn wait(&mut self) -> Result<Happened, Status> {
        let takes_requests = self.has_requests && self.stream.n_waiting() < WAITING_MAX;
        Ok(tokio::select! {
            delivery = self.stream.recv() => Happened::Delivery(delivery),
            request = self.requests.message(), if takes_requests => Happened::Request(request?),
            _ = self.progress.tick() => Happened::ProgressTick,
            () = self.rights.changed() => Happened::RightsChanged,
            () = stopped(&mut self.stop) => Happened::End,
            // The state was replaced by a snapshot: the client resumes where it was, as after any lost connection.
            _ = self.generation.changed() => Happened::End,
        })
    }

    async fn take(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                if let Err(reason) = self.create(&create).await {
                    self.refuse(reason).await;
                }
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                self.stream.cancel(cancel.watch_id);
            }
            Some(RequestUnion::ProgressRequest(_)) => self.stream.request_progress(),
            None => {}
        }
    }

    /// Creates a watch, or says why not.
    async fn create(&mut self, create: &WatchCreateRequest) -> Result<(), String> {
        let refused = |refusal: WatchRefusal| refusal.to_string();
        // A negative start is refused before the right is judged, an empty interval after it.
        if create.start_revision >= 0 {
            self.rights.judge(create).await.map_err(grpc_text)?;
        }
        let create = WatchCreate::from_request(create).map_err(refused)?;
        self.stream.create(create).map(|_| ()).map_err(refused)
    }

    async fn refuse(&mut self, cancel_reason: String) {
        // What earlier requests have caused comes first.
        while let Some(delivery) = self.stream.try_recv() {
            self.rights.refresh(&self.stream).await;
            self.deliver(delivery);
        }
        let response = WatchResponse {
            header: self.context.header_now(),
            watch_id: NO_WATCHER,
            created: true,
            canceled: true,
            cancel_reason,
            ..WatchResponse::default()
        };
        self.outbox.push_back(WatchFrame { response, events: None });
    }

    /// Hands a delivery on and notes what that took.
    fn deliver_timed(&mut self, delivery: Delivery) {
        let context = self.context.clone();
        let metrics = &context.metrics.watch;
        let n_events = match &delivery.body {
            DeliveryBody::Events { events, .. } => Some(events.n_events()),
            _ => None,
        };
        let is_progress = matches!(delivery.body, DeliveryBody::Progress);
        let started = std::time::Instant::now();
        self.deliver(delivery);
        let took = started.elapsed().as_secs_f64();
        match n_events {
            Some(n) => {
                metrics.events_send.observe(took);
                metrics.event_send.observe(took / n.max(1) as f64);
            }
            None if is_progress => metrics.progress_send.observe(took),
            None => metrics.control_send.observe(took),
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let header = self.context.header(delivery.revision);
        let mut response =
            WatchResponse { header, watch_id: delivery.watch_id, ..WatchResponse::default() };
        match delivery.body {
            DeliveryBody::Created => response.created = true,
            DeliveryBody::Progress => {}
            DeliveryBody::Canceled => {
                response.canceled = true;
                response.cancel_reason = self.rights.take_reason(delivery.watch_id);
            }
            DeliveryBody::Compacted { compact_revision } => {
                response.canceled = true;
                response.compact_revision = compact_revision;
            }
            DeliveryBody::Events { .. } if self.rights.is_ended(delivery.watch_id) => return,
            DeliveryBody::Events { events, may_fragment } => {
                let bytes_max = self.context.limits.request_bytes_max + GRPC_OVERHEAD_BYTES;
                let n_events = events.n_events();
                if !may_fragment || events.encoded_len() <= bytes_max {
                    self.outbox
                        .push_back(WatchFrame { response, events: Some((events, 0..n_events)) });
                    return;
                }
                for range in events.fragments(bytes_max) {
                    let fragment = range.end < n_events;
                    let response = WatchResponse { fragment, ..response.clone() };
                    self.outbox
                        .push_back(WatchFrame { response, events: Some((events.clone(), range)) });
                }
                return;
            }
        }
        self.outbox.push_back(WatchFrame { response, events: None });
    }
}
