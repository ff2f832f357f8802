//! One peer: its addresses, its two connections, and what is known about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::dialer::{ChannelSettings, Dialer};
use crate::raft::transport::{Lane, PeerError, PeerStats};
use crate::types::MemberId;

#[derive(Default)]
struct Connections {
    urls: Vec<String>,
    /// Which URL is in use; advances when it does not work.
    current: usize,
    control: Option<Channel>,
    bulk: Option<Channel>,
}

/// A peer.
pub(super) struct PeerLink {
    pub(super) id: MemberId,
    connections: Mutex<Connections>,
    active_since: Mutex<Option<Instant>>,
    called_at: Mutex<Option<Instant>>,
    pub(super) sent_bytes: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    failures: AtomicU64,
    received_failures: AtomicU64,
    disconnects: AtomicU64,
    round_trip_us: AtomicU64,
}

impl PeerLink {
    pub(super) fn new(id: MemberId) -> Arc<PeerLink> {
        Arc::new(PeerLink {
            id,
            connections: Mutex::default(),
            active_since: Mutex::default(),
            called_at: Mutex::default(),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            received_failures: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            round_trip_us: AtomicU64::new(u64::MAX),
        })
    }

    /// Takes over addresses. Connections to old ones are dropped; what runs over them ends by itself.
    pub(super) fn set_urls(&self, urls: &[String]) {
        let mut connections = self.connections.lock();
        if connections.urls != urls {
            *connections = Connections { urls: urls.to_vec(), ..Connections::default() };
        }
    }

    /// The connection of a lane, made when there is none.
    pub(super) fn channel(
        &self,
        dialer: &dyn Dialer,
        settings: &ChannelSettings,
    ) -> Result<Channel, PeerError> {
        let mut connections = self.connections.lock();
        let slot = match settings.lane {
            Lane::Control => &connections.control,
            Lane::Bulk => &connections.bulk,
        };
        if let Some(channel) = slot {
            return Ok(channel.clone());
        }
        let count = connections.urls.len().max(1);
        let url = connections
            .urls
            .get(connections.current % count)
            .ok_or_else(|| PeerError::Unreachable("its address is not known".to_owned()))?;
        let channel = dialer.dial(url, settings)?;
        let slot = match settings.lane {
            Lane::Control => &mut connections.control,
            Lane::Bulk => &mut connections.bulk,
        };
        Ok(slot.insert(channel).clone())
    }

    /// Notes a failed call. A peer with several URLs is tried at the next one.
    pub(super) fn failed(&self, error: &PeerError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !matches!(error, PeerError::Unreachable(_) | PeerError::Timeout) {
            return;
        }
        let mut connections = self.connections.lock();
        if connections.urls.len() > 1 {
            connections.current += 1;
            connections.control = None;
            connections.bulk = None;
        }
    }

    /// Notes that the peer answered; true when it did not before.
    pub(super) fn answered(&self, round_trip: Duration) -> bool {
        self.round_trip_us.store(round_trip.as_micros() as u64, Ordering::Relaxed);
        let mut since = self.active_since.lock();
        let is_new = since.is_none();
        since.get_or_insert_with(Instant::now);
        is_new
    }

    /// Notes that the peer does not answer; true when it did before.
    pub(super) fn silent(&self) -> bool {
        let was_active = self.active_since.lock().take().is_some();
        self.disconnects.fetch_add(u64::from(was_active), Ordering::Relaxed);
        was_active
    }

    /// Notes that the peer has called: it gets through to this member.
    pub(super) fn called(&self) {
        *self.called_at.lock() = Some(Instant::now());
    }

    /// Counts what came from the peer on a stream that it opened.
    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts what went back on a stream that the peer opened.
    pub(super) fn answered_with(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that a stream of the peer's broke.
    pub(super) fn broke_off(&self) {
        self.received_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> PeerStats {
        let round_trip_us = self.round_trip_us.load(Ordering::Relaxed);
        PeerStats {
            active_since: *self.active_since.lock(),
            called_at: *self.called_at.lock(),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            received_failures: self.received_failures.load(Ordering::Relaxed),
            disconnects: self.disconnects.load(Ordering::Relaxed),
            round_trip: (round_trip_us != u64::MAX).then(|| Duration::from_micros(round_trip_us)),
        }
    }
}
