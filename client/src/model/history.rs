//! What only watching for a while can tell: how often the leader changed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{LeaderChanges, MemberId, Value};

/// The window of the upstream alert "high number of leader changes".
pub const LEADER_CHANGE_WINDOW: Duration = Duration::from_secs(15 * 60);

/// The leader changes seen since the start.
#[derive(Debug)]
pub(super) struct LeaderHistory {
    watching_since: Instant,
    last: Option<(u64, MemberId)>,
    changes: VecDeque<Instant>,
}

impl LeaderHistory {
    pub(super) fn new(now: Instant) -> Self {
        Self { watching_since: now, last: None, changes: VecDeque::new() }
    }

    /// Notes the present leader and gives the count inside the window. A leader re-elected in a new term counts.
    pub(super) fn note(
        &mut self,
        now: Instant,
        term: &Value<u64>,
        leader: &Value<Option<MemberId>>,
    ) -> LeaderChanges {
        if let (Some(term), Some(Some(leader))) = (term.known(), leader.known()) {
            let present = (*term, *leader);
            if self.last.is_some_and(|last| last != present) {
                self.changes.push_back(now);
            }
            self.last = Some(present);
        }
        while self
            .changes
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) > LEADER_CHANGE_WINDOW)
        {
            self.changes.pop_front();
        }
        let watched = now.saturating_duration_since(self.watching_since);
        LeaderChanges {
            count: u32::try_from(self.changes.len()).unwrap_or(u32::MAX),
            window: watched.min(LEADER_CHANGE_WINDOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes count, gaps without a leader do not, and old changes are forgotten.
    #[test]
    fn changes_are_counted_inside_the_window() {
        let start = Instant::now();
        let mut history = LeaderHistory::new(start);
        let mut note = |seconds, term, leader: Option<u64>| {
            let at = start + Duration::from_secs(seconds);
            history.note(at, &Value::Known(term), &Value::Known(leader.map(MemberId))).count
        };
        assert_eq!(note(0, 2, Some(1)), 0);
        assert_eq!(note(1, 2, None), 0);
        assert_eq!(note(2, 3, Some(2)), 1);
        assert_eq!(note(3, 4, Some(2)), 2, "re-elected in a new term");
        assert_eq!(note(1000, 4, Some(2)), 0);
    }
}
