//! Linearizable reads: one question to the leader for all reads that wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::config::{READ_QUEUE, READ_RETRY, REJECTED_PAUSE};
use super::error::ReadIndexError;
use super::handle::{Raft, Shared};
use super::relay::RelayItem;

/// A read that waits for its index.
pub(super) type ReadWaiter = oneshot::Sender<Result<u64, ReadIndexError>>;

impl<O: Send + 'static> Raft<O> {
    /// Waits until this member has applied everything that was acknowledged anywhere before this call; returns the
    /// index of it. A read of the state after that is linearizable.
    ///
    /// # Errors
    /// [`ReadIndexError::Timeout`] and [`ReadIndexError::LeaderChanged`] after `5 s + 2 × election timeout`, or
    /// the first of them half a second later where an earlier question was under way.
    pub async fn read_index(&self) -> Result<u64, ReadIndexError> {
        let (waiter, answer) = oneshot::channel();
        let ask = async {
            self.shared.reads.send(waiter).await.map_err(|_| ReadIndexError::Stopped)?;
            answer.await.map_err(|_| ReadIndexError::Stopped)?
        };
        // Without a quorum a question may already be waiting out its time; this read must not wait for two of them.
        let limit = self.shared.config.request_timeout() + READ_RETRY;
        timeout(limit, ask).await.unwrap_or(Err(ReadIndexError::Timeout))
    }
}

/// Runs until the handle's end of the queue is dropped.
pub(super) async fn collect<O: Send + 'static>(
    shared: Arc<Shared<O>>,
    mut reads: mpsc::Receiver<ReadWaiter>,
) {
    let mut batch = Vec::new();
    while reads.recv_many(&mut batch, READ_QUEUE).await > 0 {
        let waiters = std::mem::take(&mut batch);
        let deadline = Instant::now() + shared.config.request_timeout();
        match shared.ask(deadline).await {
            // The next question need not wait until the answer to this one is applied.
            Ok(index) => drop(tokio::spawn(release(shared.clone(), index, deadline, waiters))),
            Err(error) => {
                shared.observer.read_index_failed();
                answer_all(waiters, Err(error));
            }
        }
    }
}

async fn release<O: Send + 'static>(
    shared: Arc<Shared<O>>,
    index: u64,
    deadline: Instant,
    waiters: Vec<ReadWaiter>,
) {
    let mut applied = shared.progress.applied.subscribe();
    let reached = timeout_at(deadline, applied.wait_for(|mark| mark.index >= index)).await;
    let answer = match reached {
        Ok(Ok(_)) => Ok(index),
        Ok(Err(_)) => Err(ReadIndexError::Stopped),
        Err(_) => Err(ReadIndexError::Timeout),
    };
    answer_all(waiters, answer);
}

fn answer_all(waiters: Vec<ReadWaiter>, answer: Result<u64, ReadIndexError>) {
    for waiter in waiters {
        // The reader may have given up.
        let _ = waiter.send(answer);
    }
}

impl<O: Send + 'static> Shared<O> {
    /// Asks until there is an answer: again after 500 ms without one, and when the leader has changed.
    async fn ask(&self, deadline: Instant) -> Result<u64, ReadIndexError> {
        let term_at_start = self.leader.borrow().term;
        loop {
            if self.stopping.is_cancelled() {
                return Err(ReadIndexError::Stopped);
            }
            match timeout(READ_RETRY, self.ask_once()).await {
                Ok(Some(index)) => return Ok(index),
                Ok(None) => sleep(REJECTED_PAUSE.min(Duration::from_millis(10))).await,
                Err(_) => self.observer.read_index_slow(),
            }
            if Instant::now() >= deadline {
                let is_same = self.leader.borrow().term == term_at_start;
                return Err(if is_same {
                    ReadIndexError::Timeout
                } else {
                    ReadIndexError::LeaderChanged
                });
            }
        }
    }

    async fn ask_once(&self) -> Option<u64> {
        let mut leader = self.leader.clone();
        let leader = leader.wait_for(|info| info.leader.is_some()).await.ok()?.leader?;
        if leader == self.config.member_id {
            return self.leading.read_index().await.ok();
        }
        let (answer, index) = oneshot::channel();
        self.relay.send(RelayItem::Read(answer)).await.ok()?;
        index.await.ok().flatten()
    }
}
