//! The follower's line to the leader: one long-lived stream that carries proposals, questions for a read index and
//! configuration changes, in batches. Nothing is sent twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use quorate_proto::quoratepb as pb;
use quorate_proto::raftpb::ConfChange;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::core::Setback;
use super::leader::LeaderInfo;
use super::machine::Command;
use super::transport::{Answers, PeerError, SharedTransport};
use crate::types::MemberId;

/// Batches that are under way to the transport.
const BATCHES: usize = 16;
/// Most proposals in one batch.
const BATCH_MAX: usize = 1024;
/// Bytes of proposals after which a batch is full.
const BATCH_BYTES: usize = 1 << 20;
/// Time for a line to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a line that could not be opened.
const PAUSE: Duration = Duration::from_millis(50);

/// Something for the leader.
pub(super) enum RelayItem {
    /// A proposal with its request id.
    Proposal(u64, Arc<Command>),
    /// A read; the answer is the index, or `None` when the leader could not tell.
    Read(oneshot::Sender<Option<u64>>),
    /// A configuration change.
    Change(Box<ConfChange>),
}

/// What the leader said.
pub(super) trait RelayAnswers: Send + Sync + 'static {
    /// A proposal or change met a setback.
    fn setback(&self, request_id: u64, setback: Setback);
    /// A configuration change was refused.
    fn refused(&self, request_id: u64, reason: String);
    /// A peer's error, for what it says about this member.
    fn peer_error(&self, error: &PeerError);
}

/// The task that owns the line.
pub(super) struct Relay {
    pub(super) member_id: MemberId,
    pub(super) transport: SharedTransport,
    pub(super) leader: watch::Receiver<LeaderInfo>,
    pub(super) answers: Arc<dyn RelayAnswers>,
    /// How long a caller waits at most, and so how long a line that was left is listened to.
    pub(super) patience: Duration,
}

type Reads = Arc<Mutex<HashMap<u64, Vec<oneshot::Sender<Option<u64>>>>>>;

/// An open line to one leader in one term.
struct Line {
    leader: MemberId,
    requests: mpsc::Sender<pb::RelayRequest>,
    reads: Reads,
    next_read: u64,
    reader: tokio::task::JoinHandle<()>,
    _left: DropGuard,
}

impl Drop for Line {
    fn drop(&mut self) {
        // A read may be asked again at once; a proposal may not, so what becomes of it is still listened to.
        self.reads.lock().clear();
    }
}

impl Relay {
    /// Runs until the handle's end of the queue is dropped.
    pub(super) async fn run(self, mut items: mpsc::Receiver<RelayItem>) {
        let mut line: Option<Line> = None;
        let mut batch = Vec::new();
        while items.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let leader = self.leader.borrow().leader;
            if line
                .as_ref()
                .is_some_and(|line| Some(line.leader) != leader || line.reader.is_finished())
            {
                line = None;
            }
            if line.is_none() {
                line = self.open(leader).await;
            }
            match &mut line {
                Some(open) => {
                    if !self.send(open, &mut batch).await {
                        line = None;
                    }
                }
                None => self.give_back(&mut batch),
            }
            batch.clear();
        }
    }

    async fn open(&self, leader: Option<MemberId>) -> Option<Line> {
        let leader = leader.filter(|leader| *leader != self.member_id)?;
        let (requests, receiver) = mpsc::channel(BATCHES);
        let opening = self.transport.relay(leader, ReceiverStream::new(receiver).boxed());
        let opened = tokio::time::timeout(OPEN_TIMEOUT, opening).await;
        match opened.unwrap_or(Err(PeerError::Timeout)) {
            Ok(answers) => {
                let reads = Reads::default();
                let reader = read_answers(answers, self.answers.clone(), reads.clone());
                let (left, patience) = (CancellationToken::new(), self.patience);
                let over = left.clone().cancelled_owned();
                let reader = tokio::spawn(async move {
                    tokio::select! {
                        () = reader => {}
                        () = over.then(|()| tokio::time::sleep(patience)) => {}
                    }
                });
                Some(Line {
                    leader,
                    requests,
                    reads,
                    next_read: 1,
                    reader,
                    _left: left.drop_guard(),
                })
            }
            Err(error) => {
                self.answers.peer_error(&error);
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }

    /// Nothing of the batch was sent: its callers may try elsewhere.
    fn give_back(&self, batch: &mut Vec<RelayItem>) {
        for item in batch.drain(..) {
            match item {
                RelayItem::Proposal(id, _) => self.answers.setback(id, Setback::Rejected),
                RelayItem::Change(change) => self.answers.setback(change.id(), Setback::Rejected),
                // The reader may have given up.
                RelayItem::Read(answer) => drop(answer.send(None)),
            }
        }
    }

    /// Sends a batch, in several messages where it is large. False when the line is broken; what was not handed to it
    /// is given back, what was is unknown.
    async fn send(&self, line: &mut Line, batch: &mut Vec<RelayItem>) -> bool {
        let mut rest = std::mem::take(batch).into_iter().peekable();
        while rest.peek().is_some() {
            let mut request = pb::RelayRequest::default();
            let mut bytes = 0;
            while bytes < BATCH_BYTES {
                match rest.next() {
                    Some(RelayItem::Proposal(id, command)) => {
                        bytes += command.bytes().len();
                        request.request_ids.push(id);
                        request.proposals.push(command.bytes().clone());
                    }
                    Some(RelayItem::Read(answer)) => {
                        // All reads of a message share one number, and so one answer.
                        let number = *request.read.get_or_insert_with(|| {
                            line.next_read += 1;
                            line.next_read
                        });
                        line.reads.lock().entry(number).or_default().push(answer);
                    }
                    Some(RelayItem::Change(change)) => {
                        request.conf_change = Some(*change);
                        break;
                    }
                    None => break,
                }
            }
            let Some(place) = self.place(line).await else {
                for id in request.request_ids {
                    self.answers.setback(id, Setback::Rejected);
                }
                if let Some(change) = request.conf_change {
                    self.answers.setback(change.id(), Setback::Rejected);
                }
                self.give_back(&mut rest.collect());
                return false;
            };
            place.send(request);
        }
        true
    }

    /// A place in the line, unless it is broken or leads to somebody who does not lead any more: a line into nowhere
    /// must not hold up what is meant for the next leader.
    async fn place<'a>(&self, line: &'a Line) -> Option<mpsc::Permit<'a, pb::RelayRequest>> {
        let mut leader = self.leader.clone();
        tokio::select! {
            biased;
            place = line.requests.reserve() => place.ok(),
            _ = leader.wait_for(|info| info.leader != Some(line.leader)) => None,
        }
    }
}

async fn read_answers(
    mut stream: Answers<pb::RelayResponse>,
    answers: Arc<dyn RelayAnswers>,
    reads: Reads,
) {
    while let Some(answer) = stream.next().await {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                answers.peer_error(&error);
                break;
            }
        };
        for id in answer.rejected {
            answers.setback(id, Setback::Rejected);
        }
        for id in answer.discarded {
            answers.setback(id, Setback::Discarded);
        }
        if let Some(number) = answer.read {
            for reader in reads.lock().remove(&number).unwrap_or_default() {
                // The reader may have given up.
                let _ = reader.send(answer.index);
            }
        }
        if answer.conf_change_id != 0 {
            answers.refused(answer.conf_change_id, answer.conf_change_refusal);
        }
    }
    // Readers whose question was under way see their sender gone and ask again.
    reads.lock().clear();
}
