//! How much memory requests that are still coming may take together, on all doors. One that comes in one piece is never
//! counted, so what is counted here never touches an ordinary call; what the handlers do with a request is not this
//! file's business, but for large writes, which stay counted until they are answered.

use super::status;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tonic::Status;

/// What a call is counted for while its request is missing, beside the bytes that have come: its stream and its headers.
pub const CALL_BYTES: usize = 8 * 1024;
/// Writes from this size on are counted until they are answered.
const LARGE_WRITE_BYTES: usize = 64 * 1024;
/// While more than half of the budget is taken, a request of which not so much has come in this time is cut. Otherwise
/// requests may take all the time they want, as with etcd.
const STALL_TIME: Duration = Duration::from_secs(10);
const PROGRESS_BYTES: usize = 16 * 1024;
/// A request that finds no room and has sent no more than this may still send the rest, for so long, while no more than so
/// many do: an ordinary call whose bytes come a moment after its headers is served, however full the budget is.
const LATE_BYTES: usize = CALL_BYTES + 16 * 1024;
const LATE_TIME: Duration = Duration::from_secs(1);
const LATE_MAX: usize = 1024;

/// The budget.
#[derive(Debug)]
pub struct Intake {
    bytes_max: usize,
    stall_time: Duration,
    taken: AtomicUsize,
    late: AtomicUsize,
    refused: AtomicU64,
    stalled: AtomicU64,
}

impl Intake {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Arc<Intake> {
        Intake::with_stall_time(bytes_max, STALL_TIME)
    }

    fn with_stall_time(bytes_max: usize, stall_time: Duration) -> Arc<Intake> {
        let (taken, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (refused, stalled) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Intake { bytes_max, stall_time, taken, late, refused, stalled })
    }

    /// Bytes that are taken now.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Requests that found no room.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests that were cut because they did not go on.
    pub fn stalled(&self) -> u64 {
        self.stalled.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn refuse(&self) -> Status {
        self.refused.fetch_add(1, Ordering::Relaxed);
        status::too_many_requests()
    }

    fn is_pressed(&self) -> bool {
        self.taken() > self.bytes_max / 2
    }

    /// Counts a write of this size until it is answered; small ones are not counted.
    ///
    /// # Errors
    /// There is no room.
    pub fn hold_write(self: &Arc<Self>, bytes: usize) -> Result<Option<Held>, Status> {
        if bytes < LARGE_WRITE_BYTES {
            return Ok(None);
        }
        self.hold(bytes).map(Some)
    }

    /// Counts so many bytes until they are let go.
    ///
    /// # Errors
    /// There is no room.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Result<Held, Status> {
        let mut held = Held::new(self.clone());
        held.resize(bytes)?;
        Ok(held)
    }
}

/// A part of the budget; it goes back when this is dropped.
#[derive(Debug)]
pub struct Held {
    intake: Arc<Intake>,
    bytes: usize,
    /// When the request is cut, unless it has more than so many bytes by then.
    due: Option<(Pin<Box<Sleep>>, usize)>,
    /// Set while it waits without having found room.
    late: Option<Late>,
}

/// One of few requests that may wait for a moment without room.
#[derive(Debug)]
struct Late {
    intake: Arc<Intake>,
    end: Pin<Box<Sleep>>,
}

impl Late {
    fn begin(intake: &Arc<Intake>) -> Option<Late> {
        let one_more = |late: usize| (late < LATE_MAX).then_some(late + 1);
        intake.late.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        let end = Box::pin(tokio::time::sleep(LATE_TIME));
        Some(Late { intake: intake.clone(), end })
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.intake.late.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Held {
    /// Nothing yet.
    pub fn new(intake: Arc<Intake>) -> Held {
        Held { intake, bytes: 0, due: None, late: None }
    }

    /// Holds so many bytes from now on.
    ///
    /// # Errors
    /// There is no room; what was held stays so.
    pub fn resize(&mut self, bytes: usize) -> Result<(), Status> {
        if self.fits(bytes) { Ok(()) } else { Err(self.intake.refuse()) }
    }

    fn fits(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            if !self.intake.take(bytes - self.bytes) {
                return false;
            }
        } else {
            self.intake.taken.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            if bytes < self.bytes {
                self.due = None;
            }
        }
        (self.bytes, self.late) = (bytes, None);
        true
    }

    /// Waits without room. Ready with a refusal when that must have an end.
    fn poll_late(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Status> {
        if self.late.is_none() && bytes <= LATE_BYTES {
            self.late = Late::begin(&self.intake);
        }
        if bytes <= LATE_BYTES
            && let Some(late) = &mut self.late
        {
            std::task::ready!(late.end.as_mut().poll(cx));
        }
        Poll::Ready(self.intake.refuse())
    }

    /// Holds so many bytes of a request that waits for more of them. Ready with the reason when it must not wait any
    /// longer.
    pub fn poll_wait(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Status> {
        if !self.fits(bytes) {
            return self.poll_late(bytes, cx);
        }
        // A stream of requests may be silent between them for as long as it wants.
        if bytes == 0 || !self.intake.is_pressed() {
            self.due = None;
            return Poll::Pending;
        }
        let due = Instant::now() + self.intake.stall_time;
        match &mut self.due {
            None => self.due = Some((Box::pin(tokio::time::sleep_until(due)), bytes)),
            Some((sleep, then)) if bytes >= then.saturating_add(PROGRESS_BYTES) => {
                sleep.as_mut().reset(due);
                *then = bytes;
            }
            Some(_) => {}
        }
        let Some((sleep, _)) = &mut self.due else { return Poll::Pending };
        std::task::ready!(sleep.as_mut().poll(cx));
        self.intake.stalled.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(status::stalled_request())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.intake.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// What does not fit is refused, and what is let go fits again.
    #[test]
    fn requests_share_the_budget() {
        let intake = Intake::new(100_000);
        let first = intake.hold(60_000).unwrap();
        let mut second = intake.hold(40_000).unwrap();
        assert!(second.resize(40_001).is_err() && intake.taken() == 100_000);
        assert!(intake.hold_write(LARGE_WRITE_BYTES).is_err());
        assert!(intake.hold_write(LARGE_WRITE_BYTES - 1).unwrap().is_none());
        drop(first);
        second.resize(90_000).unwrap();
        drop(second);
        assert_eq!((intake.taken(), intake.refused()), (0, 2));
    }

    /// A request that has hardly begun may wait for a moment without room, and gets room that becomes free; one of which
    /// more has come may not, nor one too many.
    #[tokio::test]
    async fn requests_that_have_just_begun_may_be_late() {
        let intake = Intake::new(100_000);
        let others = intake.hold(100_000).unwrap();
        let mut all: Vec<Held> = (0..=LATE_MAX).map(|_| Held::new(intake.clone())).collect();
        let waits = async |held: &mut Held, bytes| {
            poll_fn(|cx| Poll::Ready(held.poll_wait(bytes, cx))).await.is_pending()
        };
        for held in &mut all[..LATE_MAX] {
            assert!(waits(held, CALL_BYTES).await);
        }
        assert!(!waits(&mut all[LATE_MAX], CALL_BYTES).await);
        assert!(!waits(&mut all[0], LATE_BYTES + 1).await);
        drop(others);
        assert!(waits(&mut all[1], CALL_BYTES).await && all[1].late.is_none());
        let _others = intake.hold(100_000 - CALL_BYTES).unwrap();
        all[2].late.as_mut().unwrap().end.as_mut().reset(Instant::now());
        // It ends only with its time.
        poll_fn(|cx| all[2].poll_wait(CALL_BYTES, cx)).await;
        drop(all);
        assert_eq!((intake.late.load(Ordering::Relaxed), intake.refused()), (0, 3));
    }

    /// With room to spare a request may take its time; without, one that stops is cut.
    #[tokio::test]
    async fn stalled_requests_are_cut_under_pressure() {
        let intake = Intake::with_stall_time(1 << 20, Duration::from_millis(1));
        let mut held = Held::new(intake.clone());
        let mut cut = async |bytes, time| {
            tokio::time::timeout(time, poll_fn(|cx| held.poll_wait(bytes, cx))).await.is_ok()
        };
        assert!(!cut(10, Duration::from_millis(50)).await);
        let _others = intake.hold(600_000).unwrap();
        assert!(cut(10, Duration::from_secs(60)).await);
        assert_eq!(intake.stalled(), 1);
        // Nothing is under way in a silent stream, whatever there was before.
        assert!(!cut(0, Duration::from_millis(50)).await);
    }

    /// The time begins anew with every so many bytes, and not with fewer.
    #[tokio::test]
    async fn requests_that_go_on_have_their_time_anew() {
        let intake = Intake::with_stall_time(1 << 20, Duration::from_secs(3600));
        let _others = intake.hold(600_000).unwrap();
        let mut held = Held::new(intake.clone());
        let mut due = async |bytes| {
            assert!(poll_fn(|cx| Poll::Ready(held.poll_wait(bytes, cx))).await.is_pending());
            held.due.as_ref().map(|(sleep, _)| sleep.deadline()).unwrap()
        };
        let first = due(10).await;
        assert_eq!(due(PROGRESS_BYTES).await, first);
        assert!(due(PROGRESS_BYTES + 10).await > first);
    }
}
