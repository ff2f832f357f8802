//! How much memory answers may take together: reads that would find too many others waiting for their clients wait
//! themselves, and are refused when that takes too long. An answer that nobody takes gives way to them. Small answers
//! are not counted. Requests are `intake`'s business.

use super::status;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use quorate_proto::etcdserverpb::RangeStreamResponse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Response, Status};

/// Answers below this many bytes are not counted: they are hardly more than the stream that carries them.
const SMALL_BYTES: usize = 4 * 1024;
/// Bytes of one permit: a semaphore counts to less than the memory of large machines.
const UNIT_BYTES: usize = 1024;
/// An answer of which the client has taken nothing for so long is dropped when others wait for its room.
const STALL_TIME: Duration = Duration::from_secs(5);
/// Pause between two looks for such answers while somebody waits.
const LOOK_TIME: Duration = Duration::from_millis(250);

/// What answers may take, and how many are being read.
#[derive(Clone, Debug)]
pub struct AnswerBudget {
    rooms: Arc<Rooms>,
    readers: Arc<Semaphore>,
    patience: Duration,
}

/// The room of all answers, and who has it.
#[derive(Debug)]
struct Rooms {
    units: Arc<Semaphore>,
    n_units: usize,
    /// What all shares keep, by number. Not the shares themselves: types that hold each other cost the compiler minutes.
    waiting: Mutex<BTreeMap<u64, Arc<Waiting>>>,
    numbers: AtomicU64,
    dropped: AtomicU64,
}

/// A part of the budget that goes with an answer until it is sent, and keeps the answer meanwhile. Clones are the same.
#[derive(Clone, Debug)]
pub struct Share(Arc<Room>);

#[derive(Debug)]
struct Room {
    rooms: Arc<Rooms>,
    number: u64,
    waiting: Arc<Waiting>,
}

/// An answer that waits, and since when.
#[derive(Debug)]
struct Waiting {
    pulse: Pulse,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    /// None once the answer has been dropped.
    permit: Option<OwnedSemaphorePermit>,
    answer: Option<Kept>,
}

/// What waits for its client.
#[derive(Debug)]
enum Kept {
    Bytes(Bytes),
    Chunk(Box<RangeStreamResponse>),
}

/// When a client last took something of a call's answer.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<AtomicU64>);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Pulse {
    /// A client that has taken something just now.
    pub fn new() -> Pulse {
        Pulse(Arc::new(AtomicU64::new(now_ms())))
    }

    fn beat(&self) {
        self.0.store(now_ms(), Ordering::Relaxed);
    }

    fn is_stalled(&self, time: Duration) -> bool {
        let silent = now_ms().saturating_sub(self.0.load(Ordering::Relaxed));
        Duration::from_millis(silent) >= time
    }
}

/// There is no room at present: it must be waited for.
#[derive(Debug)]
pub struct NoRoom;

/// The right to read one large answer.
pub struct Reading {
    budget: AnswerBudget,
    /// Kept until the answer has its share: so many answers at most are in nobody's count.
    _permit: OwnedSemaphorePermit,
}

impl AnswerBudget {
    /// A budget of `bytes` for all answers, with `readers` reads at a time. Who waits longer than `patience` is
    /// refused.
    pub fn new(bytes: usize, readers: usize, patience: Duration) -> AnswerBudget {
        let n_units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let rooms = Rooms {
            units: Arc::new(Semaphore::new(n_units)),
            n_units,
            waiting: Mutex::default(),
            numbers: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        };
        let readers = Arc::new(Semaphore::new(readers.max(1)));
        AnswerBudget { rooms: Arc::new(rooms), readers, patience }
    }

    /// Bytes that are taken now.
    pub fn taken(&self) -> usize {
        (self.rooms.n_units - self.rooms.units.available_permits()) * UNIT_BYTES
    }

    /// Answers that were dropped because their clients took nothing of them.
    pub fn dropped(&self) -> u64 {
        self.rooms.dropped.load(Ordering::Relaxed)
    }

    /// Waits for the right to read an answer that may be large.
    ///
    /// # Errors
    /// [`EtcdError::TooManyRequests`](quorate_proto::errors::EtcdError) after too long a wait.
    pub async fn read(&self) -> Result<Reading, Status> {
        let permit = tokio::time::timeout(self.patience, self.readers.clone().acquire_owned());
        // The semaphore is never closed.
        let permit = permit.await.ok().and_then(Result::ok);
        let _permit = permit.ok_or_else(status::too_many_requests)?;
        Ok(Reading { budget: self.clone(), _permit })
    }

    /// The room that an answer of so many bytes takes, if it is there at once: none for a small answer, which needs
    /// none.
    ///
    /// # Errors
    /// There is none; who waits for it needs the right to read.
    pub fn share_now(&self, bytes: usize) -> Result<Option<Share>, NoRoom> {
        if bytes < SMALL_BYTES {
            return Ok(None);
        }
        let permit = self.rooms.units.clone().try_acquire_many_owned(self.rooms.units_of(bytes));
        permit.map(|permit| Some(self.rooms.share(permit, Pulse::new()))).map_err(|_| NoRoom)
    }

    /// The room that a message of a stream takes, however long it has to be waited for: who does not take its own gives
    /// way after a while.
    pub async fn share_of_stream(&self, bytes: usize) -> Option<Share> {
        loop {
            match self.share_now(bytes) {
                Ok(share) => return share,
                Err(NoRoom) => {
                    if let Ok(permit) = self.wait(self.rooms.units_of(bytes)).await {
                        return Some(self.rooms.share(permit, Pulse::new()));
                    }
                }
            }
        }
    }

    /// An answer that is made already, with the room that it takes.
    ///
    /// # Errors
    /// As [`AnswerBudget::read`].
    pub async fn carry<T: Message>(&self, answer: T) -> Result<Response<T>, Status> {
        let bytes = answer.encoded_len();
        let share = match self.share_now(bytes) {
            Ok(share) => share,
            Err(NoRoom) => self.read().await?.share(bytes).await?,
        };
        Ok(attach(Response::new(answer), share))
    }

    async fn wait(&self, units: u32) -> Result<OwnedSemaphorePermit, Status> {
        let acquired = self.rooms.units.clone().acquire_many_owned(units);
        tokio::pin!(acquired);
        let deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let look = deadline.min(tokio::time::Instant::now() + LOOK_TIME);
            match tokio::time::timeout_at(look, acquired.as_mut()).await {
                // The semaphore is never closed.
                Ok(permit) => return permit.map_err(|_| status::too_many_requests()),
                Err(_) if look == deadline => return Err(status::too_many_requests()),
                Err(_) => self.rooms.drop_stalled(STALL_TIME),
            }
        }
    }
}

impl Reading {
    /// Waits for the room that an answer of so many bytes takes, and lets the next read begin. An answer larger than
    /// the whole budget takes all of it.
    ///
    /// # Errors
    /// [`EtcdError::TooManyRequests`](quorate_proto::errors::EtcdError) after too long a wait.
    pub async fn share(self, bytes: usize) -> Result<Option<Share>, Status> {
        self.share_of(bytes, Pulse::new()).await
    }

    /// The same for one of several parts of an answer.
    ///
    /// # Errors
    /// As [`Reading::share`].
    pub async fn share_of(self, bytes: usize, pulse: Pulse) -> Result<Option<Share>, Status> {
        if bytes < SMALL_BYTES {
            return Ok(None);
        }
        let permit = self.budget.wait(self.budget.rooms.units_of(bytes)).await?;
        Ok(Some(self.budget.rooms.share(permit, pulse)))
    }
}

impl Rooms {
    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES).min(self.n_units)).unwrap_or(u32::MAX)
    }

    fn share(self: &Arc<Self>, permit: OwnedSemaphorePermit, pulse: Pulse) -> Share {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let content = Mutex::new(Content { permit: Some(permit), answer: None });
        let waiting = Arc::new(Waiting { pulse, content });
        self.waiting.lock().insert(number, waiting.clone());
        Share(Arc::new(Room { rooms: self.clone(), number, waiting }))
    }

    /// Drops the answers whose clients have taken nothing for so long.
    fn drop_stalled(&self, time: Duration) {
        let all: Vec<Arc<Waiting>> = self.waiting.lock().values().cloned().collect();
        for waiting in all.into_iter().filter(|waiting| waiting.pulse.is_stalled(time)) {
            let mut content = waiting.content.lock();
            // One that is being made has its room for as long as that takes.
            if content.answer.is_some() {
                (content.answer, content.permit) = (None, None);
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rooms.waiting.lock().remove(&self.number);
    }
}

impl Share {
    fn keep(&self, answer: Kept) {
        self.0.waiting.pulse.beat();
        let mut content = self.0.waiting.content.lock();
        if content.permit.is_some() {
            content.answer = Some(answer);
        }
    }

    /// Keeps an answer as it goes onto the wire.
    pub fn keep_bytes(&self, bytes: Bytes) {
        self.keep(Kept::Bytes(bytes));
    }

    /// Keeps a part of an answer that is not encoded yet.
    pub fn keep_chunk(&self, chunk: RangeStreamResponse) {
        self.keep(Kept::Chunk(Box::new(chunk)));
    }

    /// Takes what was kept with [`Share::keep_chunk`].
    ///
    /// # Errors
    /// It was dropped.
    pub fn take_chunk(&self) -> Result<RangeStreamResponse, Status> {
        self.0.waiting.pulse.beat();
        match self.0.waiting.content.lock().answer.take() {
            Some(Kept::Chunk(chunk)) => Ok(*chunk),
            _ => Err(status::stalled_answer()),
        }
    }

    /// Takes up to so many of the bytes that were kept; none when all have been taken.
    ///
    /// # Errors
    /// They were dropped.
    pub fn take_bytes(&self, bytes_max: usize) -> Result<Option<Bytes>, Status> {
        self.0.waiting.pulse.beat();
        let mut content = self.0.waiting.content.lock();
        if content.permit.is_none() {
            return Err(status::stalled_answer());
        }
        match &mut content.answer {
            Some(Kept::Bytes(bytes)) if !bytes.is_empty() => {
                Ok(Some(bytes.split_to(bytes_max.min(bytes.len()))))
            }
            _ => Ok(None),
        }
    }
}

/// Shares of what comes next in a stream of answers, from where it is read to where it is sent.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    coming: Arc<Mutex<Vec<Share>>>,
    may_resume: bool,
}

impl Shares {
    /// Those of a stream that its client opens again where it was, when it is told to.
    pub fn of_resumable() -> Shares {
        Shares { may_resume: true, ..Shares::default() }
    }

    /// The share of one more message.
    pub fn push(&self, share: Share) {
        self.coming.lock().push(share);
    }

    /// The shares of all messages since.
    pub fn take(&self) -> Vec<Share> {
        std::mem::take(&mut self.coming.lock())
    }

    /// What a client hears whose messages were dropped.
    pub fn end(&self) -> Status {
        if self.may_resume { status::stalled_stream() } else { status::stalled_answer() }
    }
}

/// Sends a share along with an answer.
pub fn attach<T>(mut response: Response<T>, share: Option<Share>) -> Response<T> {
    if let Some(share) = share {
        response.extensions_mut().insert(share);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_proto::errors::EtcdError;

    /// An answer waits while others hold the budget, gets its part when they go, and is refused when they do not.
    #[tokio::test]
    async fn answers_share_the_budget() {
        let budget = AnswerBudget::new(1 << 20, 2, Duration::from_millis(50));
        let first = budget.read().await.unwrap().share(900 << 10).await.unwrap();
        assert!(budget.read().await.unwrap().share(1024).await.unwrap().is_none());
        assert!(budget.share_now(1024).unwrap().is_none());
        assert!(budget.share_now(200 << 10).is_err());
        let refused = budget.read().await.unwrap().share(200 << 10).await.unwrap_err();
        assert_eq!(refused.message(), EtcdError::TooManyRequests.text());
        drop(first);
        let whole = budget.read().await.unwrap().share(10 << 20).await.unwrap();
        assert!(whole.is_some() && budget.taken() == 1 << 20);
        drop(whole);
        assert!(budget.taken() == 0 && budget.rooms.waiting.lock().is_empty());
    }

    /// An answer that nobody takes gives way, one that is taken or still being made does not.
    #[tokio::test]
    async fn stalled_answers_give_way() {
        let budget = AnswerBudget::new(100 << 10, 1, Duration::from_millis(50));
        let share = || budget.share_now(10 << 10).unwrap().unwrap();
        let (stalled, in_the_making, chunk) = (share(), share(), share());
        stalled.keep_bytes(Bytes::from_static(b"answer"));
        chunk.keep_chunk(RangeStreamResponse::default());
        budget.rooms.drop_stalled(Duration::from_secs(3600));
        assert_eq!(stalled.take_bytes(3).unwrap().unwrap(), "ans");
        budget.rooms.drop_stalled(Duration::ZERO);
        assert!(stalled.take_bytes(3).is_err() && chunk.take_chunk().is_err());
        in_the_making.keep_bytes(Bytes::from_static(b"x"));
        assert_eq!(in_the_making.take_bytes(3).unwrap().unwrap(), "x");
        assert!(in_the_making.take_bytes(3).unwrap().is_none());
        assert_eq!((budget.taken(), budget.dropped()), (10 << 10, 2));
    }
}
