//! The endpoints of a client with one lazy connection each, and which of them is asked next.
//!
//! The pool begins with any endpoint, so that many clients with the same list spread over the members, stays with it while it
//! works and moves to the next, round robin, when it fails.

use crate::config::Config;
use crate::dial::Dialer;
use crate::endpoint::Endpoint;
use crate::error::{ClientError, Result};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::transport::Channel;

/// Go's gRPC library never pings more often than this; etcd disconnects clients that do.
const KEEPALIVE_TIME_MIN: Duration = Duration::from_secs(10);

/// Flow-control windows: large enough that snapshots and long ranges are not paced by the round trip.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// One endpoint and its connection.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) endpoint: Endpoint,
    pub(crate) channel: Channel,
}

/// See the file's header.
pub(crate) struct Pool {
    lanes: Vec<Lane>,
    current: AtomicUsize,
}

impl Pool {
    /// Prepares a connection to every endpoint; opens none. Must be called on a tokio runtime.
    pub(crate) fn new(endpoints: &[String], config: &Config) -> Result<Pool> {
        if endpoints.is_empty() {
            return Err(ClientError::Config("etcdclient: no available endpoints".to_owned()));
        }
        let lanes = endpoints.iter().map(|text| open_lane(text, config)).collect::<Result<_>>()?;
        // Every `RandomState` has a seed of its own; nothing better is needed to spread.
        let start = RandomState::new().hash_one(endpoints.len()) as usize;
        Ok(Pool { lanes, current: AtomicUsize::new(start % endpoints.len()) })
    }

    /// A pool of one lane.
    pub(crate) fn single(lane: Lane) -> Pool {
        Pool { lanes: vec![lane], current: AtomicUsize::new(0) }
    }

    /// Number of endpoints, at least one.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The lane to use now and its number.
    pub(crate) fn current(&self) -> (usize, &Lane) {
        let number = self.current.load(Ordering::Relaxed) % self.lanes.len();
        (number, &self.lanes[number])
    }

    /// Moves on from lane `failed`, unless another caller has done so already.
    pub(crate) fn move_on(&self, failed: usize) {
        let next = (failed + 1) % self.lanes.len();
        let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The lane of an endpoint, if it is one of this pool's.
    pub(crate) fn find(&self, text: &str) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.endpoint.text == text)
    }

    /// The endpoints as written.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.lanes.iter().map(|lane| lane.endpoint.text.as_str())
    }
}

/// Prepares one lane.
pub(crate) fn open_lane(text: &str, config: &Config) -> Result<Lane> {
    let endpoint = Endpoint::parse(text, config)?;
    let dialer = Dialer::new(&endpoint, config, b"h2")?;
    let authority = endpoint.authority();
    let bad = |error: &dyn std::fmt::Display| {
        ClientError::Config(format!("endpoint {text:?} cannot be used: {error}"))
    };
    // The dialer speaks TLS itself, so tonic is told `http`; requests carry the true scheme as their origin.
    let origin: http::Uri =
        format!("{}://{authority}", endpoint.scheme()).parse().map_err(|e| bad(&e))?;
    let channel = Channel::from_shared(format!("http://{authority}"))
        .map_err(|e| bad(&e))?
        .origin(origin)
        .http2_keep_alive_interval(config.keepalive_time.max(KEEPALIVE_TIME_MIN))
        .keep_alive_timeout(config.keepalive_timeout)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_with_connector_lazy(dialer);
    Ok(Lane { endpoint, channel })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Clients with the same endpoints do not all begin with the first.
    #[tokio::test]
    async fn clients_spread_over_endpoints() {
        let endpoints = [1, 2, 3].map(|port| format!("127.0.0.1:{port}"));
        let pool = || Pool::new(&endpoints, &Config::default()).unwrap();
        let starts: HashSet<usize> = (0..200).map(|_| pool().current().0).collect();
        assert_eq!(starts.len(), 3);
    }
}
