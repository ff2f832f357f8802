//! Time for the replicated core: one narrow door, so that tests and simulation can turn the hands.
//!
//! Monotonic time decides deadlines and is never compared between members. Wall-clock time is only ever stamped by a
//! proposer. No room below `raft` reads a clock by itself except through this trait.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Clock: Send + Sync + Debug {
    /// Monotonic time since some fixed point of this process.
    fn now(&self) -> Duration;
    /// Wall-clock time since 1970-01-01T00:00:00Z.
    fn unix_time(&self) -> Duration;
}

/// The clock handle that rooms hold.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn shared() -> SharedClock {
        Arc::new(SystemClock { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that moves only when told to.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct ManualClock {
    now: parking_lot::Mutex<Duration>,
}

#[cfg(test)]
impl ManualClock {
    /// Moves the hands forward.
    pub fn advance(&self, by: Duration) {
        *self.now.lock() += by;
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.now.lock()
    }

    fn unix_time(&self) -> Duration {
        *self.now.lock()
    }
}
