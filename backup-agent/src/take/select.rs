//! Which member to take the snapshot from: a pure ranking of what the survey found.
//!
//! A snapshot is the local state of one member, so: never a learner, never one with a CORRUPT alarm, rather one
//! that keeps up than one that lags, rather a follower than the leader, then the one with the newest revision.

use super::survey::MemberState;

/// Applied entries a member may be behind the most advanced one and still count as keeping up. etcd itself refuses
/// to promote a learner that is further behind than a tenth; this is stricter than that on any busy cluster.
const LAG_ENTRIES_MAX: u64 = 1_000;

/// The ranking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Endpoints to try, best first.
    pub ranked: Vec<MemberState>,
    /// Endpoints that must not be used, with the reason.
    pub excluded: Vec<(String, &'static str)>,
}

/// Ranks members. Equal ones keep the order of the endpoints, so the operator's order decides.
pub fn rank(states: &[MemberState]) -> Selection {
    let mut selection = Selection::default();
    let most_applied = states.iter().map(|state| state.applied_index).max().unwrap_or(0);
    for state in states {
        match exclusion(state) {
            Some(reason) => selection.excluded.push((state.endpoint.clone(), reason)),
            None => selection.ranked.push(state.clone()),
        }
    }
    selection.ranked.sort_by_key(|state| {
        let lags = most_applied - state.applied_index > LAG_ENTRIES_MAX;
        (lags, !state.has_leader, state.is_leader, std::cmp::Reverse(state.revision))
    });
    selection
}

fn exclusion(state: &MemberState) -> Option<&'static str> {
    if state.is_corrupt {
        return Some("a CORRUPT alarm names it");
    }
    state.is_learner.then_some("it is a learner")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(endpoint: &str, applied_index: u64, revision: i64) -> MemberState {
        MemberState {
            endpoint: endpoint.into(),
            cluster_id: 1,
            member_id: applied_index,
            is_leader: false,
            has_leader: true,
            is_learner: false,
            is_corrupt: false,
            revision,
            applied_index,
            size_bytes: 0,
            version: "3.7.1".into(),
            storage_version: "3.7.0".into(),
        }
    }

    fn order(states: &[MemberState]) -> Vec<String> {
        rank(states).ranked.into_iter().map(|state| state.endpoint).collect()
    }

    /// A follower that keeps up comes before the leader, and the leader before a follower that lags.
    #[test]
    fn a_close_follower_then_the_leader_then_a_laggard() {
        let leader = MemberState { is_leader: true, ..member("leader", 50_000, 900) };
        let states = [leader, member("lags", 40_000, 700), member("close", 49_990, 899)];
        assert_eq!(order(&states), ["close", "leader", "lags"]);
    }

    /// Of two followers the more advanced one is taken, and a cut-off member comes last.
    #[test]
    fn the_newest_revision_wins() {
        let alone = MemberState { has_leader: false, ..member("alone", 50_000, 905) };
        let states = [alone, member("older", 49_990, 898), member("newer", 49_991, 899)];
        assert_eq!(order(&states), ["newer", "older", "alone"]);
    }

    /// Learners and corrupt members are never used, even when nothing else is there.
    #[test]
    fn learners_and_corrupt_members_are_excluded() {
        let learner = MemberState { is_learner: true, ..member("learner", 5, 5) };
        let corrupt = MemberState { is_corrupt: true, ..member("corrupt", 5, 5) };
        let selection = rank(&[learner, corrupt]);
        assert!(selection.ranked.is_empty());
        assert_eq!(selection.excluded.len(), 2);
    }

    /// A survivor without a quorum can still be backed up.
    #[test]
    fn a_lone_survivor_is_taken() {
        let survivor = MemberState { has_leader: false, ..member("survivor", 5, 5) };
        assert_eq!(order(&[survivor]), ["survivor"]);
    }
}
