//! Callers that wait for the outcome of their proposal, by request id; and the ids themselves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::core::{Setback, SetbackSink};
use crate::types::MemberId;

/// Locks, so that callers on many threads rarely meet.
const SHARDS: usize = 16;

/// What a waiting caller hears.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice<O> {
    /// Applied, with this outcome.
    Outcome(O),
    /// Not applied so far, and why.
    Setback(Setback),
    /// A configuration change was refused; it is not in the log.
    Refused(String),
}

/// All callers of this member that wait.
pub(super) struct Waiters<O> {
    shards: [Mutex<HashMap<u64, oneshot::Sender<Notice<O>>>>; SHARDS],
    count: AtomicUsize,
}

impl<O> Waiters<O> {
    pub(super) fn new() -> Waiters<O> {
        Waiters { shards: std::array::from_fn(|_| Mutex::default()), count: AtomicUsize::new(0) }
    }

    /// Registers a caller; it hears exactly one notice, or none if it is forgotten first.
    pub(super) fn register(&self, request_id: u64) -> oneshot::Receiver<Notice<O>> {
        let (sender, receiver) = oneshot::channel();
        if self.shard(request_id).lock().insert(request_id, sender).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        receiver
    }

    /// Nobody waits for this any more.
    pub(super) fn forget(&self, request_id: u64) {
        self.take(request_id);
    }

    /// Tells the caller, if there is one.
    pub(super) fn tell(&self, request_id: u64, notice: Notice<O>) {
        if let Some(sender) = self.take(request_id) {
            // The caller may have given up just now.
            let _ = sender.send(notice);
        }
    }

    /// Does a caller wait for this id?
    pub(super) fn is_awaited(&self, request_id: u64) -> bool {
        self.shard(request_id).lock().contains_key(&request_id)
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn take(&self, request_id: u64) -> Option<oneshot::Sender<Notice<O>>> {
        let sender = self.shard(request_id).lock().remove(&request_id)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(sender)
    }

    fn shard(&self, request_id: u64) -> &Mutex<HashMap<u64, oneshot::Sender<Notice<O>>>> {
        &self.shards[request_id as usize % SHARDS]
    }
}

impl<O: Send + 'static> SetbackSink for Waiters<O> {
    fn setback(&self, request_id: u64, setback: Setback) {
        self.tell(request_id, Notice::Setback(setback));
    }
}

/// Request ids as etcd makes them (`etcd:pkg/idutil/id.go`): two bytes of the member id, five bytes of start time in
/// milliseconds, then a counter that may overflow into the time.
pub(super) struct RequestIds(AtomicU64);

impl RequestIds {
    pub(super) fn new(member: MemberId) -> RequestIds {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let time = (start.as_millis() as u64) & 0x00ff_ffff_ffff;
        RequestIds(AtomicU64::new((member & 0xffff) << 48 | time << 8))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A caller hears its own notice and nobody else's.
    #[test]
    fn notices_find_their_caller() {
        let waiters = Waiters::<u32>::new();
        let mut one = waiters.register(1);
        let mut two = waiters.register(2);
        assert!(waiters.is_awaited(1) && waiters.count() == 2);
        waiters.tell(1, Notice::Outcome(10));
        waiters.setback(2, Setback::Rejected);
        assert_eq!(one.try_recv(), Ok(Notice::Outcome(10)));
        assert_eq!(two.try_recv(), Ok(Notice::Setback(Setback::Rejected)));
        assert_eq!(waiters.count(), 0);
    }

    /// Ids of different members differ, and one member never makes the same twice.
    #[test]
    fn ids_are_unique() {
        let (a, b) = (RequestIds::new(1), RequestIds::new(2));
        let mut ids: Vec<u64> = (0..1000).flat_map(|_| [a.next(), b.next()]).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2000);
    }
}
