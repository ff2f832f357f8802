//! Whether a change of the membership is allowed, by etcd's rules (`etcd:server/etcdserver/server.go`).
//!
//! Pure: the caller brings the facts (how many voters are started and connected), the answer is etcd's error.

use super::{ClusterState, Member, is_started, peer_urls_are_valid};
use quorate_proto::errors::EtcdError;

/// A change that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeCheck<'a> {
    /// Add a member, as a voter or as a learner.
    Add {
        /// Its peer URLs.
        peer_urls: &'a [String],
        /// As a learner.
        is_learner: bool,
        /// `--max-learners`.
        learners_max: usize,
    },
    /// Remove a member.
    Remove {
        /// Its id.
        id: u64,
    },
    /// Replace peer URLs.
    Update {
        /// Its id.
        id: u64,
        /// The new URLs.
        peer_urls: &'a [String],
    },
    /// Turn a learner into a voter; its log position is the caller's business.
    Promote {
        /// Its id.
        id: u64,
    },
}

/// How the member that is asked hears another one. Itself it always hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not at all.
    Down,
    /// For less than the time that a change demands.
    New,
    /// For that time or longer.
    Lasting,
}

/// Checks a change. `link` says how a member is connected; `strict` is `--strict-reconfig-check`.
///
/// # Errors
/// The first of etcd's objections.
pub fn check_change(
    cluster: &ClusterState,
    change: &ChangeCheck<'_>,
    strict: bool,
    link: &dyn Fn(u64) -> Link,
) -> Result<(), EtcdError> {
    let members = cluster.members();
    let voters: Vec<&Member> =
        members.iter().map(AsRef::as_ref).filter(|m| !m.is_learner).collect();
    match change {
        ChangeCheck::Add { peer_urls, is_learner, learners_max } => {
            if !peer_urls_are_valid(peer_urls) {
                return Err(EtcdError::MemberBadUrls);
            }
            if strict {
                check_add(&voters, *is_learner, link)?;
            }
            if members.iter().any(|m| shares_url(&m.peer_urls, peer_urls)) {
                return Err(EtcdError::PeerUrlExists);
            }
            let learners = members.len() - voters.len();
            if *is_learner && learners >= *learners_max {
                return Err(EtcdError::TooManyLearners);
            }
            Ok(())
        }
        ChangeCheck::Remove { id } => {
            let Some(member) = members.iter().find(|m| m.id == *id) else {
                return Err(EtcdError::MemberNotFound);
            };
            if strict && !member.is_learner { check_remove(&voters, member, link) } else { Ok(()) }
        }
        ChangeCheck::Update { id, peer_urls } => {
            if !members.iter().any(|m| m.id == *id) {
                return Err(EtcdError::MemberNotFound);
            }
            // etcd would take any text here.
            if !peer_urls_are_valid(peer_urls) {
                return Err(EtcdError::MemberBadUrls);
            }
            if members.iter().any(|m| m.id != *id && shares_url(&m.peer_urls, peer_urls)) {
                return Err(EtcdError::PeerUrlExists);
            }
            Ok(())
        }
        ChangeCheck::Promote { id } => match members.iter().find(|m| m.id == *id) {
            None => Err(EtcdError::MemberNotFound),
            Some(member) if !member.is_learner => Err(EtcdError::MemberNotLearner),
            Some(_) if strict => check_started(&voters, 1),
            Some(_) => Ok(()),
        },
    }
}

fn shares_url(left: &[String], right: &[String]) -> bool {
    left.iter().any(|url| right.contains(url))
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// Started voters must be a quorum of the set enlarged by `added`.
fn check_started(voters: &[&Member], added: usize) -> Result<(), EtcdError> {
    let started = voters.iter().filter(|m| is_started(m)).count();
    // A lone started member may always be joined by a second one.
    if started == 1 && voters.len() == 1 {
        return Ok(());
    }
    if started < quorum(voters.len() + added) {
        return Err(EtcdError::MemberNotEnoughStarted);
    }
    Ok(())
}

fn check_add(
    voters: &[&Member],
    is_learner: bool,
    link: &dyn Fn(u64) -> Link,
) -> Result<(), EtcdError> {
    if !is_learner {
        check_started(voters, 1)?;
    }
    if voters.len() == 1 {
        return Ok(());
    }
    let alive = voters.iter().filter(|m| link(m.id) == Link::Lasting).count();
    if alive < quorum(voters.len() + 1) { Err(EtcdError::UnhealthyCluster) } else { Ok(()) }
}

fn check_remove(
    voters: &[&Member],
    leaving: &Member,
    link: &dyn Fn(u64) -> Link,
) -> Result<(), EtcdError> {
    let rest: Vec<_> = voters.iter().filter(|m| m.id != leaving.id).collect();
    let started = rest.iter().filter(|m| is_started(m)).count();
    if started < quorum(rest.len()) {
        return Err(EtcdError::MemberNotEnoughStarted);
    }
    // A member that is down takes nothing away from the quorum that is there.
    if link(leaving.id) == Link::Down {
        return Ok(());
    }
    let alive = rest.iter().filter(|m| link(m.id) == Link::Lasting).count();
    if alive < quorum(rest.len()) { Err(EtcdError::UnhealthyCluster) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(started: &[bool]) -> ClusterState {
        let cluster = ClusterState::new(1, 1);
        for (i, started) in started.iter().enumerate() {
            let id = i as u64 + 1;
            let name = if *started { format!("m{id}") } else { String::new() };
            let peer_urls = vec![format!("http://127.0.0.1:{}", 2380 + id)];
            cluster.put_member(Member { id, peer_urls, name, ..Member::default() });
        }
        cluster
    }

    fn add(urls: &[String]) -> ChangeCheck<'_> {
        ChangeCheck::Add { peer_urls: urls, is_learner: false, learners_max: 1 }
    }

    /// Adding to a cluster with an unstarted member would risk the quorum.
    #[test]
    fn unstarted_members_block_an_add() {
        let urls = vec!["http://127.0.0.1:9".to_owned()];
        let all = |_: u64| Link::Lasting;
        assert_eq!(check_change(&cluster(&[true]), &add(&urls), true, &all), Ok(()));
        let two = cluster(&[true, false]);
        assert_eq!(
            check_change(&two, &add(&urls), true, &all),
            Err(EtcdError::MemberNotEnoughStarted)
        );
        assert_eq!(check_change(&two, &add(&urls), false, &all), Ok(()));
    }

    /// A change while a quorum is not connected is refused, the removal of a dead member is not.
    #[test]
    fn connections_count() {
        let urls = vec!["http://127.0.0.1:9".to_owned()];
        let three = cluster(&[true, true, true]);
        let two_alive = |id: u64| if id == 3 { Link::Down } else { Link::Lasting };
        assert_eq!(
            check_change(&three, &add(&urls), true, &two_alive),
            Err(EtcdError::UnhealthyCluster)
        );
        let remove = |id| ChangeCheck::Remove { id };
        assert_eq!(check_change(&three, &remove(3), true, &two_alive), Ok(()));
        let one_alive = |id: u64| if id == 1 { Link::Lasting } else { Link::Down };
        assert_eq!(
            check_change(&three, &remove(1), true, &one_alive),
            Err(EtcdError::UnhealthyCluster)
        );
        assert_eq!(
            check_change(&three, &remove(8), true, &two_alive),
            Err(EtcdError::MemberNotFound)
        );
    }

    /// Members that have only just been connected are no dead ones: nobody may leave yet.
    #[test]
    fn new_connections_block_a_removal() {
        let three = cluster(&[true, true, true]);
        let just_started = |id: u64| if id == 1 { Link::Lasting } else { Link::New };
        for id in 1..=3 {
            let answer = check_change(&three, &ChangeCheck::Remove { id }, true, &just_started);
            assert_eq!(answer, Err(EtcdError::UnhealthyCluster), "member {id}");
        }
    }

    /// The last member cannot be removed: nothing would be left to vote.
    #[test]
    fn the_last_member_stays() {
        let one = cluster(&[true]);
        let remove = ChangeCheck::Remove { id: 1 };
        assert_eq!(
            check_change(&one, &remove, true, &|_| Link::Lasting),
            Err(EtcdError::MemberNotEnoughStarted)
        );
    }

    /// Peer URLs are unique, learners are counted, voters cannot be promoted.
    #[test]
    fn urls_learners_and_promotions() {
        let three = cluster(&[true, true, true]);
        let all = |_: u64| Link::Lasting;
        let taken = vec!["http://127.0.0.1:2381".to_owned()];
        assert_eq!(check_change(&three, &add(&taken), true, &all), Err(EtcdError::PeerUrlExists));
        let update = ChangeCheck::Update { id: 1, peer_urls: &taken };
        assert_eq!(check_change(&three, &update, true, &all), Ok(()));
        let promote = ChangeCheck::Promote { id: 2 };
        assert_eq!(check_change(&three, &promote, true, &all), Err(EtcdError::MemberNotLearner));
        three.put_member(Member { id: 9, is_learner: true, ..Member::default() });
        let urls = vec!["http://127.0.0.1:9".to_owned()];
        let learner = ChangeCheck::Add { peer_urls: &urls, is_learner: true, learners_max: 1 };
        assert_eq!(check_change(&three, &learner, true, &all), Err(EtcdError::TooManyLearners));
    }
}
