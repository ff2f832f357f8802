//! The Election service (`reference/etcd-api.md`, section 11): the first in the queue under a name leads, and its value
//! is what the others see.

use super::context::SharedContext;
use super::turn::{Caller, Generation, Place, prefix, to_its_end};
use crate::mvcc::watch::{DeliveryBody, WatchStream};
use bytes::Bytes;
use quorate_proto::etcdserverpb::ResponseHeader;
use quorate_proto::mvccpb::event::EventType;
use quorate_proto::mvccpb::{Event, KeyValue};
use quorate_proto::v3electionpb::election_server::Election;
use quorate_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use std::pin::Pin;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Answers of one observer that wait for the client.
const OBSERVE_QUEUE: usize = 16;

/// Handlers of the Election service.
pub struct ElectionApi {
    context: SharedContext,
}

impl ElectionApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> ElectionApi {
        ElectionApi { context }
    }
}

fn not_leader() -> Status {
    Status::unknown("election: not leader")
}

fn missing_leader() -> Status {
    Status::unknown("\"leader\" field must be provided")
}

async fn campaign(
    caller: Caller,
    request: CampaignRequest,
    gone: CancellationToken,
) -> Result<CampaignResponse, Status> {
    let prefix = prefix(&request.name);
    let lease = caller.lease(request.lease).await?;
    let place = caller.queue_up(&prefix, lease, request.value.clone()).await?;
    let outcome = tokio::select! {
        outcome = wait(&caller, &prefix, &place, lease, &request.value) => outcome,
        () = gone.cancelled() => Err(Status::cancelled("context canceled")),
    };
    let is_unwanted = gone.is_cancelled() && place.found_value.is_none();
    match outcome {
        Ok(()) if !is_unwanted => {
            let (name, rev) = (request.name, place.revision);
            let leader = Some(LeaderKey { name, key: place.key, rev, lease });
            Ok(CampaignResponse { header: place.header, leader })
        }
        Ok(()) => {
            caller.leave_for_sure(&place).await;
            Err(Status::cancelled("context canceled"))
        }
        Err(status) => {
            caller.leave_for_sure(&place).await;
            Err(status)
        }
    }
}

/// Brings the value up to date, then waits for the turn.
async fn wait(
    caller: &Caller,
    prefix: &Bytes,
    place: &Place,
    lease: i64,
    value: &Bytes,
) -> Result<(), Status> {
    if place.found_value.as_ref().is_some_and(|found| found != value) {
        let replaced = caller.replace(&place.key, place.revision, lease, value.clone()).await?;
        replaced.ok_or_else(not_leader)?;
    }
    caller.wait_turn(prefix, place.revision).await
}

/// One observer of an election.
struct Observer {
    caller: Caller,
    prefix: Bytes,
    answers: mpsc::Sender<Result<LeaderResponse, Status>>,
}

/// Why an observer does not go on where it was.
enum Break {
    /// The keys must be looked at again.
    LookAgain,
    /// The call is over.
    Over,
}

impl Observer {
    /// Tells of leaders and their values until the client goes or the member stops.
    async fn run(self) {
        loop {
            match self.follow_leader().await {
                Ok(()) | Err(Break::LookAgain) => {}
                Err(Break::Over) => return,
            }
        }
    }

    /// Tells who leads and follows it until its key goes.
    async fn follow_leader(&self) -> Result<(), Break> {
        // Taken first: a state that is replaced in between is noticed.
        let mut generation = self.caller.generation();
        let Ok(answer) = self.caller.oldest(&self.prefix).await else {
            return Err(self.close().await);
        };
        let (header, kv) = match answer.kvs.into_iter().next() {
            Some(kv) => (answer.header, kv),
            None => {
                let seen = answer.header.map_or(0, |header| header.revision);
                let kv = self.first_put(seen, &mut generation).await?;
                (self.caller.header(kv.mod_revision), kv)
            }
        };
        let (key, seen) = (kv.key.clone(), header.as_ref().map_or(0, |header| header.revision));
        self.tell(header, kv).await?;
        let watch = self.caller.watch(&key, &Bytes::new(), seen + 1, false);
        loop {
            for event in self.events(&watch, &mut generation).await? {
                let Some(kv) = put(event) else { return Ok(()) };
                self.tell(self.caller.header(kv.mod_revision), kv).await?;
            }
        }
    }

    /// Waits for the first put under the prefix, which makes a leader.
    async fn first_put(&self, seen: i64, generation: &mut Generation) -> Result<KeyValue, Break> {
        let watch = self.caller.watch_prefix(&self.prefix, seen);
        loop {
            let events = self.events(&watch, generation).await?;
            if let Some(kv) = events.into_iter().find_map(put) {
                return Ok(kv);
            }
        }
    }

    async fn events(
        &self,
        watch: &WatchStream,
        generation: &mut Generation,
    ) -> Result<Vec<Event>, Break> {
        let delivery = tokio::select! {
            delivery = watch.recv() => delivery,
            () = generation.changed() => return Err(Break::LookAgain),
            () = self.caller.member_stopped() => return Err(self.close().await),
        };
        // What was written after a right was lost must not be told by the right of before.
        if generation.has_changed() {
            return Err(Break::LookAgain);
        }
        match delivery.body {
            DeliveryBody::Events { events, .. } => Ok(events.decode().unwrap_or_default()),
            DeliveryBody::Created | DeliveryBody::Progress => Ok(Vec::new()),
            DeliveryBody::Canceled | DeliveryBody::Compacted { .. } => Err(Break::LookAgain),
        }
    }

    async fn tell(&self, header: Option<ResponseHeader>, kv: KeyValue) -> Result<(), Break> {
        let response = LeaderResponse { header, kv: Some(kv) };
        self.answers.send(Ok(response)).await.map_err(|_| Break::Over)
    }

    /// Ends the call with the words of etcd.
    async fn close(&self) -> Break {
        // A client that has gone needs no words.
        let _ = self.answers.send(Err(Status::unknown("election: observe closed early"))).await;
        Break::Over
    }
}

fn put(event: Event) -> Option<KeyValue> {
    let is_put = event.r#type() == EventType::Put;
    event.kv.filter(|_| is_put)
}

#[tonic::async_trait]
impl Election for ElectionApi {
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let caller = Caller::of(&self.context, &request);
        let response = to_its_end(|gone| campaign(caller, request.into_inner(), gone)).await?;
        Ok(Response::new(response))
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let caller = Caller::of(&self.context, &request);
        let ProclaimRequest { leader, value } = request.into_inner();
        let leader = leader.ok_or_else(missing_leader)?;
        let lease = caller.lease(leader.lease).await?;
        let header = caller.replace(&leader.key, leader.rev, lease, value).await?;
        let header = header.ok_or_else(not_leader)?;
        Ok(Response::new(ProclaimResponse { header }))
    }

    async fn leader(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<LeaderResponse>, Status> {
        let caller = Caller::of(&self.context, &request);
        let answer = caller.oldest(&prefix(&request.into_inner().name)).await?;
        match answer.kvs.into_iter().next() {
            Some(kv) => Ok(Response::new(LeaderResponse { header: answer.header, kv: Some(kv) })),
            None => Err(Status::unknown("election: no leader")),
        }
    }

    type ObserveStream =
        Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send + 'static>>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let caller = Caller::of(&self.context, &request);
        let prefix = prefix(&request.into_inner().name);
        let (sender, receiver) = mpsc::channel(OBSERVE_QUEUE);
        tokio::spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = Observer { caller, prefix, answers: sender }.run() => {}
                () = closed.closed() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn resign(
        &self,
        request: Request<ResignRequest>,
    ) -> Result<Response<ResignResponse>, Status> {
        let caller = Caller::of(&self.context, &request);
        let leader = request.into_inner().leader.ok_or_else(missing_leader)?;
        let header = caller.leave(&leader.key, leader.rev).await?;
        Ok(Response::new(ResignResponse { header }))
    }
}
