//! What apply tells of its work. This room reads no clock: whoever listens may.

use super::Outcome;
use quorate_proto::etcdserverpb::InternalRaftRequest;

/// Hears what is applied, on the apply thread. All methods return at once.
pub trait ApplyObserver: Send {
    /// A request is about to be applied.
    fn begins(&mut self) {}
    /// It has its outcome.
    fn applied(&mut self, _request: &InternalRaftRequest, _outcome: &Outcome) {}
    /// A snapshot is being taken over, or has been.
    fn installing(&mut self, _is_under_way: bool) {}
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplyObserver;

impl ApplyObserver for NoApplyObserver {}
