//! Peers in one process, connected by channels that can be cut and slowed down.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use quorate_proto::quoratepb as pb;
use tokio::sync::watch;

use crate::raft::Membership;
use crate::raft::transport::*;
use crate::types::MemberId;

/// All members, and which of them cannot reach each other.
#[derive(Default)]
pub struct MemoryNet {
    handlers: Mutex<HashMap<MemberId, Arc<dyn PeerHandler>>>,
    cut: watch::Sender<HashSet<(MemberId, MemberId)>>,
    delay: Mutex<Duration>,
    /// Members whose packets vanish without anybody being told.
    swallowed: watch::Sender<HashSet<MemberId>>,
    /// Snapshots that were sent.
    pub snapshots: std::sync::atomic::AtomicUsize,
}

impl MemoryNet {
    /// Puts a member on the net, or takes it off.
    pub fn plug(&self, id: MemberId, handler: Option<Arc<dyn PeerHandler>>) {
        let mut handlers = self.handlers.lock();
        match handler {
            Some(handler) => drop(handlers.insert(id, handler)),
            None => drop(handlers.remove(&id)),
        }
        // Streams to and from a member that stops end with it.
        self.cut.send_modify(|_| {});
    }

    /// Cuts the lines between `one` and all of `others`, in both directions.
    pub fn cut(&self, one: MemberId, others: &[MemberId]) {
        self.cut.send_modify(|cut| {
            for other in others {
                cut.insert((one, *other));
                cut.insert((*other, one));
            }
        });
    }

    /// Cuts the calls of `from` to all of `others`; theirs still reach it.
    pub fn cut_calls(&self, from: MemberId, others: &[MemberId]) {
        self.cut.send_modify(|cut| cut.extend(others.iter().map(|other| (from, *other))));
    }

    /// Makes all lines whole.
    pub fn heal(&self) {
        self.cut.send_modify(HashSet::clear);
    }

    /// Delays every message.
    pub fn slow_down(&self, delay: Duration) {
        *self.delay.lock() = delay;
    }

    /// Lets everything to and from a member vanish, or no more.
    pub fn swallow(&self, id: MemberId, swallow: bool) {
        self.swallowed.send_modify(|swallowed| {
            if swallow {
                swallowed.insert(id)
            } else {
                swallowed.remove(&id)
            };
        });
    }

    /// Returns once nothing between the two vanishes.
    async fn passes(self: Arc<Self>, from: MemberId, to: MemberId) {
        let mut swallowed = self.swallowed.subscribe();
        let open = swallowed.wait_for(|gone| !gone.contains(&from) && !gone.contains(&to)).await;
        drop(open);
    }

    fn handler(&self, from: MemberId, to: MemberId) -> Result<Arc<dyn PeerHandler>, PeerError> {
        if self.cut.borrow().contains(&(from, to)) {
            return Err(unreachable());
        }
        let handler = self.handlers.lock().get(&to).cloned().ok_or_else(unreachable)?;
        handler.admit(from)?;
        Ok(handler)
    }

    fn is_broken(&self, from: MemberId, to: MemberId) -> bool {
        let is_gone = {
            let handlers = self.handlers.lock();
            !handlers.contains_key(&to) || !handlers.contains_key(&from)
        };
        is_gone || self.cut.borrow().contains(&(from, to))
    }

    /// Ends when the line breaks.
    async fn broken(self: Arc<Self>, from: MemberId, to: MemberId) {
        let mut cut = self.cut.subscribe();
        loop {
            cut.mark_unchanged();
            if self.is_broken(from, to) {
                return;
            }
            if cut.changed().await.is_err() {
                return;
            }
        }
    }
}

fn unreachable() -> PeerError {
    PeerError::Unreachable("cut".to_owned())
}

/// One member's end.
pub struct MemoryTransport {
    /// The member.
    pub from: MemberId,
    /// The net.
    pub net: Arc<MemoryNet>,
}

impl MemoryTransport {
    fn requests<T: Send + 'static>(
        &self,
        to: MemberId,
        requests: BoxStream<'static, T>,
    ) -> BoxStream<'static, T> {
        let broken = self.net.clone().broken(self.from, to);
        let delay = *self.net.delay.lock();
        let (net, from) = (self.net.clone(), self.from);
        let delayed = requests.then(move |item| {
            let passes = net.clone().passes(from, to);
            async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                passes.await;
                item
            }
        });
        delayed.take_until(Box::pin(broken)).boxed()
    }

    fn answers<T: Send + 'static>(&self, to: MemberId, answers: Answers<T>) -> Answers<T> {
        let broken = self.net.clone().broken(self.from, to);
        let (line, one, other) = (self.net.clone(), self.from, to);
        // A stream that comes to its own end is no broken line.
        let end = futures::stream::once(async move { line.is_broken(one, other) })
            .filter(|is_broken| std::future::ready(*is_broken))
            .map(|_| Err(unreachable()));
        let (net, from) = (self.net.clone(), self.from);
        let answers = answers.then(move |answer| {
            let passes = net.clone().passes(from, to);
            async move {
                passes.await;
                answer
            }
        });
        answers.take_until(Box::pin(broken)).chain(end).boxed()
    }

    fn call<T: Send + 'static>(
        &self,
        to: MemberId,
        call: impl FnOnce(Arc<dyn PeerHandler>) -> Call<T> + Send + 'static,
    ) -> Call<T> {
        let handler = self.net.handler(self.from, to);
        let broken = self.net.clone().broken(self.from, to);
        let delay = *self.net.delay.lock();
        let passes = self.net.clone().passes(self.from, to);
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            if tokio::time::timeout(Duration::from_millis(100), passes).await.is_err() {
                return Err(PeerError::Timeout);
            }
            tokio::select! {
                () = broken => Err(unreachable()),
                answer = call(handler?) => answer,
            }
        })
    }
}

impl PeerTransport for MemoryTransport {
    fn update_peers(&self, _membership: &Membership) {}

    fn append(
        &self,
        to: MemberId,
        _lane: Lane,
        requests: BoxStream<'static, pb::AppendRequest>,
    ) -> Call<Answers<pb::AppendResponse>> {
        let requests = self.requests(to, requests);
        let answers = self
            .net
            .handler(self.from, to)
            .map(|handler| self.answers(to, handler.append(self.from, requests)));
        Box::pin(std::future::ready(answers))
    }

    fn vote(&self, to: MemberId, request: pb::VoteRequest, _: Duration) -> Call<pb::VoteResponse> {
        self.call(to, move |handler| handler.vote(request))
    }

    fn transfer_leader(
        &self,
        to: MemberId,
        request: pb::TransferLeaderRequest,
        _: Duration,
    ) -> Call<pb::TransferLeaderResponse> {
        self.call(to, move |handler| handler.transfer_leader(request))
    }

    fn install_snapshot(
        &self,
        to: MemberId,
        chunks: BoxStream<'static, pb::SnapshotChunk>,
    ) -> Call<pb::SnapshotResponse> {
        self.net.snapshots.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let chunks = self.requests(to, chunks).map(Ok).boxed();
        self.call(to, move |handler| handler.install_snapshot(chunks))
    }

    fn relay(
        &self,
        to: MemberId,
        requests: BoxStream<'static, pb::RelayRequest>,
    ) -> Call<Answers<pb::RelayResponse>> {
        let requests = self.requests(to, requests);
        let answers = self
            .net
            .handler(self.from, to)
            .map(|handler| self.answers(to, handler.relay(self.from, requests)));
        Box::pin(std::future::ready(answers))
    }

    fn forward(
        &self,
        to: MemberId,
        request: pb::ForwardRequest,
        _: Duration,
    ) -> Call<pb::ForwardResponse> {
        let from = self.from;
        self.call(to, move |handler| handler.forward(from, request))
    }

    fn stats(&self, peer: MemberId) -> PeerStats {
        let is_reachable = self.net.handler(self.from, peer).is_ok();
        let active_since = is_reachable.then(tokio::time::Instant::now);
        PeerStats { active_since, ..PeerStats::default() }
    }

    fn told_removed(&self) -> watch::Receiver<bool> {
        watch::Sender::new(false).subscribe()
    }
}
