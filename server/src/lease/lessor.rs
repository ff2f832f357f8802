//! The lessor: every lease with its keys, and, on the leader only, the deadlines.
//!
//! Grants, revocations, attachments and checkpoints are replicated and happen in `apply`. Deadlines are the one
//! volatile part of the state: they live with the leader and are counted anew when leadership moves
//! (`etcd:server/lease/lessor.go`).

use crate::clock::SharedClock;
use bytes::Bytes;
use parking_lot::Mutex;
use quorate_proto::errors::EtcdError;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::LEASE_TTL_SECONDS_MAX;

/// What `LeaseTimeToLive` reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Granted time to live in seconds.
    pub granted_ttl: i64,
    /// Whole seconds left; the granted TTL where this member does not lead.
    pub remaining_ttl: i64,
    /// Attached keys in key order; empty unless asked for.
    pub keys: Vec<Bytes>,
}

/// Outcome of a keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Renewed for this many seconds.
    Renewed(i64),
    /// The deadline has passed and the revocation is under way.
    Expired,
    /// No such lease.
    NotFound,
    /// This member does not lead, so it has no deadlines to move.
    NotLeading,
}

#[derive(Debug)]
struct Lease {
    granted_ttl: i64,
    /// Seconds left at the last checkpoint, 0 for none.
    checkpoint_ttl: i64,
    keys: BTreeSet<Bytes>,
    /// Monotonic time of expiry; `None` while this member does not lead.
    deadline: Option<Duration>,
}

impl Lease {
    fn full_ttl(&self) -> Duration {
        let seconds = if self.checkpoint_ttl > 0 { self.checkpoint_ttl } else { self.granted_ttl };
        Duration::from_secs(seconds.max(0).unsigned_abs())
    }
}

#[derive(Debug, Default)]
struct Table {
    leases: HashMap<i64, Lease>,
    /// (deadline, id) of every lease while this member leads.
    by_deadline: BTreeSet<(Duration, i64)>,
    leading: bool,
}

impl Table {
    fn set_deadline(&mut self, id: i64, deadline: Option<Duration>) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if let Some(old) = lease.deadline {
            self.by_deadline.remove(&(old, id));
        }
        lease.deadline = deadline;
        if let Some(new) = deadline {
            self.by_deadline.insert((new, id));
        }
    }
}

/// All leases of the cluster as this member has applied them.
#[derive(Debug)]
pub struct Lessor {
    clock: SharedClock,
    table: Mutex<Table>,
}

impl Lessor {
    /// A lessor without leases.
    pub fn new(clock: SharedClock) -> Lessor {
        Lessor { clock, table: Mutex::default() }
    }

    /// Forgets everything; used when a received snapshot replaces the state.
    pub fn clear(&self) {
        let mut table = self.table.lock();
        table.leases.clear();
        table.by_deadline.clear();
    }

    /// Puts back a stored lease at start. Times in seconds.
    pub fn restore(&self, id: i64, granted_ttl: i64, checkpoint_ttl: i64) {
        let mut table = self.table.lock();
        let keys = BTreeSet::new();
        table.leases.insert(id, Lease { granted_ttl, checkpoint_ttl, keys, deadline: None });
        self.start_deadline(&mut table, id, Duration::ZERO);
    }

    /// Grants a lease.
    ///
    /// # Errors
    /// The id is 0 or in use, or the TTL is too large.
    pub fn grant(&self, id: i64, ttl: i64) -> Result<(), EtcdError> {
        if id == 0 {
            return Err(EtcdError::LeaseNotFound);
        }
        if ttl > LEASE_TTL_SECONDS_MAX {
            return Err(EtcdError::LeaseTtlTooLarge);
        }
        let mut table = self.table.lock();
        if table.leases.contains_key(&id) {
            return Err(EtcdError::LeaseExists);
        }
        let keys = BTreeSet::new();
        table
            .leases
            .insert(id, Lease { granted_ttl: ttl, checkpoint_ttl: 0, keys, deadline: None });
        self.start_deadline(&mut table, id, Duration::ZERO);
        Ok(())
    }

    /// Removes a lease and returns its keys in key order; the caller deletes them.
    pub fn revoke(&self, id: i64) -> Option<Vec<Bytes>> {
        let mut table = self.table.lock();
        table.set_deadline(id, None);
        let lease = table.leases.remove(&id)?;
        Some(lease.keys.into_iter().collect())
    }

    /// Records the seconds left of a lease and returns its granted TTL; `None` for an unknown lease.
    pub fn checkpoint(&self, id: i64, remaining_ttl: i64) -> Option<i64> {
        let mut table = self.table.lock();
        let lease = table.leases.get_mut(&id)?;
        // A checkpoint never adds time.
        lease.checkpoint_ttl = remaining_ttl.clamp(0, lease.granted_ttl);
        Some(lease.granted_ttl)
    }

    /// True when the lease exists.
    pub fn exists(&self, id: i64) -> bool {
        self.table.lock().leases.contains_key(&id)
    }

    /// Moves a key from one lease to another; 0 stands for none.
    pub fn move_key(&self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        let mut table = self.table.lock();
        if let Some(lease) = table.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = table.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }

    /// Keys attached to a lease, in key order; `None` for an unknown lease.
    pub fn keys(&self, id: i64) -> Option<Vec<Bytes>> {
        Some(self.table.lock().leases.get(&id)?.keys.iter().cloned().collect())
    }

    /// Number of leases.
    pub fn len(&self) -> usize {
        self.table.lock().leases.len()
    }

    /// True when there is no lease.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All ids, those that expire first in front.
    pub fn ids(&self) -> Vec<i64> {
        let table = self.table.lock();
        let mut ids: Vec<_> =
            table.leases.iter().map(|(id, lease)| (lease.deadline, *id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Facts about one lease; `None` for an unknown one.
    pub fn info(&self, id: i64, with_keys: bool) -> Option<LeaseInfo> {
        let now = self.clock.now();
        let table = self.table.lock();
        let lease = table.leases.get(&id)?;
        let remaining = lease.deadline.map(|deadline| deadline.saturating_sub(now).as_secs());
        let remaining_ttl =
            remaining.map_or(lease.granted_ttl, |s| i64::try_from(s).unwrap_or(i64::MAX));
        let keys = if with_keys { lease.keys.iter().cloned().collect() } else { Vec::new() };
        Some(LeaseInfo { granted_ttl: lease.granted_ttl, remaining_ttl, keys })
    }

    /// Takes over the deadlines: every lease gets its full or checkpointed time plus `extension`, so that no
    /// holder loses time to the election.
    pub fn lead(&self, extension: Duration) {
        let mut table = self.table.lock();
        table.leading = true;
        let ids: Vec<i64> = table.leases.keys().copied().collect();
        for id in ids {
            self.start_deadline(&mut table, id, extension);
        }
    }

    /// Gives the deadlines up.
    pub fn follow(&self) {
        let mut table = self.table.lock();
        table.leading = false;
        table.by_deadline.clear();
        for lease in table.leases.values_mut() {
            lease.deadline = None;
        }
    }

    /// True while this member keeps the deadlines.
    pub fn is_leading(&self) -> bool {
        self.table.lock().leading
    }

    /// Renews a lease to its granted TTL and drops its checkpoint in memory. The caller has proof of leadership.
    pub fn renew(&self, id: i64) -> Renewal {
        let now = self.clock.now();
        let mut table = self.table.lock();
        if !table.leading {
            return Renewal::NotLeading;
        }
        let Some(lease) = table.leases.get_mut(&id) else { return Renewal::NotFound };
        if lease.deadline.is_some_and(|deadline| deadline <= now) {
            return Renewal::Expired;
        }
        lease.checkpoint_ttl = 0;
        let ttl = lease.granted_ttl;
        self.start_deadline(&mut table, id, Duration::ZERO);
        Renewal::Renewed(ttl)
    }

    /// True when the lease was checkpointed, so that a renewal must be replicated to undo the checkpoint.
    pub fn is_checkpointed(&self, id: i64) -> bool {
        self.table.lock().leases.get(&id).is_some_and(|lease| lease.checkpoint_ttl > 0)
    }

    /// Up to `limit` leases whose deadline has passed, the oldest first.
    pub fn expired(&self, limit: usize) -> Vec<i64> {
        let now = self.clock.now();
        let table = self.table.lock();
        let due = table.by_deadline.iter().take_while(|(deadline, _)| *deadline <= now);
        due.take(limit).map(|(_, id)| *id).collect()
    }

    /// (id, whole seconds left) of up to `limit` leases with more than `threshold` left, for a checkpoint.
    pub fn long_lived(&self, threshold: Duration, limit: usize) -> Vec<(i64, i64)> {
        let now = self.clock.now();
        let table = self.table.lock();
        let rest = table.by_deadline.range((now + threshold, i64::MAX)..).take(limit);
        rest.map(|(deadline, id)| (*id, deadline.saturating_sub(now).as_secs().cast_signed()))
            .collect()
    }

    fn start_deadline(&self, table: &mut Table, id: i64, extension: Duration) {
        if !table.leading {
            return;
        }
        let Some(lease) = table.leases.get(&id) else { return };
        let deadline = self.clock.now() + lease.full_ttl() + extension;
        table.set_deadline(id, Some(deadline));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::sync::Arc;

    fn lessor() -> (Arc<ManualClock>, Lessor) {
        let clock = Arc::new(ManualClock::default());
        (clock.clone(), Lessor::new(clock))
    }

    /// Only a leader lets leases expire, and a renewal moves the deadline.
    #[test]
    fn deadlines_live_with_the_leader() {
        let (clock, lessor) = lessor();
        lessor.grant(7, 10).unwrap();
        clock.advance(Duration::from_secs(60));
        assert!(lessor.expired(10).is_empty());
        assert_eq!(lessor.renew(7), Renewal::NotLeading);
        lessor.lead(Duration::from_secs(1));
        clock.advance(Duration::from_secs(10));
        assert_eq!(lessor.info(7, false).unwrap().remaining_ttl, 1);
        assert_eq!(lessor.renew(7), Renewal::Renewed(10));
        clock.advance(Duration::from_secs(10));
        assert_eq!(lessor.renew(7), Renewal::Expired);
        assert_eq!(lessor.expired(10), vec![7]);
        lessor.follow();
        assert!(lessor.expired(10).is_empty());
    }

    /// A new leader starts from the checkpoint, not from the granted TTL, and a checkpoint never adds time.
    #[test]
    fn checkpoints_bound_the_time_a_new_leader_gives() {
        let (clock, lessor) = lessor();
        lessor.grant(1, 100).unwrap();
        lessor.checkpoint(1, 500);
        assert_eq!(lessor.checkpoint(1, 40), Some(100));
        lessor.lead(Duration::ZERO);
        clock.advance(Duration::from_secs(39));
        assert!(lessor.expired(10).is_empty());
        clock.advance(Duration::from_secs(1));
        assert_eq!(lessor.expired(10), vec![1]);
    }

    /// A key belongs to one lease at a time; revoking returns what is attached, in key order.
    #[test]
    fn keys_move_between_leases() {
        let (_, lessor) = lessor();
        lessor.grant(1, 10).unwrap();
        lessor.grant(2, 10).unwrap();
        let (a, b) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
        lessor.move_key(&b, 0, 1);
        lessor.move_key(&a, 0, 1);
        lessor.move_key(&b, 1, 2);
        lessor.move_key(&b, 2, 1);
        assert_eq!(lessor.revoke(2), Some(vec![]));
        assert_eq!(lessor.revoke(1), Some(vec![a, b]));
        assert_eq!(lessor.revoke(1), None);
    }

    /// Grants are refused as etcd refuses them.
    #[test]
    fn bad_grants_are_refused() {
        let (_, lessor) = lessor();
        assert_eq!(lessor.grant(0, 10), Err(EtcdError::LeaseNotFound));
        assert_eq!(lessor.grant(1, LEASE_TTL_SECONDS_MAX + 1), Err(EtcdError::LeaseTtlTooLarge));
        lessor.grant(1, 10).unwrap();
        assert_eq!(lessor.grant(1, 10), Err(EtcdError::LeaseExists));
    }
}
