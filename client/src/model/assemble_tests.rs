//! Pictures made from given answers: who speaks for whom, what is fresh, what disagrees. No network.

use std::time::{Duration, Instant};

use super::assemble::assemble;
use super::memory::{EndpointMemory, Moment};
use super::observation::{
    Answer, ListedMember, MemberListAnswer, Observation, ProbeError, ProbeErrorKind, Question,
    StatusAnswer,
};
use super::{
    ClusterId, ClusterSnapshot, Health, LeaderChanges, MemberId, Quorum, StrangerState, Value,
};

fn listed(id: u64) -> ListedMember {
    ListedMember {
        id: MemberId(id),
        name: format!("n{id}"),
        is_learner: false,
        peer_urls: vec![],
        client_urls: vec![format!("http://127.0.0.1:{id}")],
    }
}

fn status(id: u64) -> StatusAnswer {
    StatusAnswer {
        cluster_id: ClusterId(7),
        member_id: MemberId(id),
        revision: 50,
        version: "3.7.1".into(),
        storage_version: Some("3.7.0".into()),
        leader: Some(MemberId(1)),
        term: 3,
        commit_index: 100,
        applied_index: Some(100),
        db_size: 10,
        db_in_use: Some(5),
        db_quota: Some(1000),
        is_learner: false,
        alarms: vec![],
    }
}

struct Scene {
    start: Instant,
    endpoints: Vec<EndpointMemory>,
}

impl Scene {
    fn of(endpoints: &[&str]) -> Self {
        let endpoints = endpoints.iter().map(|url| EndpointMemory::new(url, true)).collect();
        Self { start: Instant::now(), endpoints }
    }

    fn note(
        &mut self,
        at: usize,
        second: u64,
        question: Question,
        result: Result<Answer, ProbeError>,
    ) {
        let endpoint = self.endpoints[at].endpoint.clone();
        let time = self.start + Duration::from_secs(second);
        self.endpoints[at].note(Observation { endpoint, round: 1, question, at: time, result });
    }

    /// The endpoint answers every question in this second.
    fn answers(&mut self, at: usize, second: u64, status: StatusAnswer, members: &[u64]) {
        let list = MemberListAnswer {
            cluster_id: status.cluster_id,
            members: members.iter().map(|id| listed(*id)).collect(),
        };
        let took = Duration::from_millis(1);
        self.note(at, second, Question::Status, Ok(Answer::Status(status, took)));
        self.note(at, second, Question::Members, Ok(Answer::Members(list)));
        self.note(at, second, Question::Read, Ok(Answer::Read(took)));
    }

    fn fails(&mut self, at: usize, second: u64, kind: ProbeErrorKind) {
        for question in Question::ALL {
            let reason = "connection refused".into();
            self.note(at, second, question, Err(ProbeError { kind, reason }));
        }
    }

    fn picture(&self, second: u64) -> ClusterSnapshot {
        let now = self.start + Duration::from_secs(second);
        let moment = Moment { now, fresh_for: Duration::from_secs(4) };
        assemble(&self.endpoints, moment, 1, |_, _| LeaderChanges::default())
    }
}

/// A member that has answered keeps its row by its answer, however its endpoint is spelled; one that never has by URL.
#[test]
fn endpoints_find_their_members() {
    let mut scene = Scene::of(&["db.example:99", "localhost:2", "127.0.0.1:3"]);
    scene.answers(0, 0, status(1), &[1, 2, 3]);
    scene.fails(1, 0, ProbeErrorKind::Unreachable);
    scene.fails(2, 0, ProbeErrorKind::Unreachable);
    let picture = scene.picture(1);
    let endpoints: Vec<_> = picture.members.iter().map(|m| m.endpoint.as_deref()).collect();
    assert_eq!(endpoints, [Some("db.example:99"), Some("localhost:2"), Some("127.0.0.1:3")]);
    assert_eq!(picture.strangers, []);
    assert_eq!(picture.quorum, Value::Known(Quorum { voters: 3, up: 1 }));
}

/// A failed attempt makes old figures stale at once; so does silence that lasts too long.
#[test]
fn figures_grow_stale() {
    let mut scene = Scene::of(&["127.0.0.1:1", "127.0.0.1:2"]);
    scene.answers(0, 0, status(1), &[1, 2]);
    scene.answers(1, 0, status(2), &[1, 2]);
    assert_eq!(scene.picture(4).members[1].term, Value::Known(3));
    let age = Duration::from_secs(5);
    assert_eq!(scene.picture(5).members[1].term, Value::Stale { value: 3, age });
    scene.answers(0, 6, status(1), &[1, 2]);
    scene.fails(1, 6, ProbeErrorKind::Unreachable);
    let picture = scene.picture(8);
    let since = Duration::from_secs(2);
    let reason = "connection refused".to_owned();
    assert_eq!(picture.members[1].health, Health::Down { reason, since });
    assert!(picture.members[1].db_size.is_stale());
    assert_eq!(picture.members[1].lag.known(), None);
    assert_eq!(picture.term, Value::Known(3), "others' fresh answers count");
}

/// An old leader that was cut off does not outvote the members of the newer term.
#[test]
fn newest_term_names_the_leader() {
    let mut scene = Scene::of(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    scene.answers(0, 0, status(1), &[1, 2, 3]);
    for (at, id) in [(1, 2), (2, 3)] {
        let newer = StatusAnswer { leader: Some(MemberId(2)), term: 4, ..status(id) };
        scene.answers(at, 0, newer, &[1, 2, 3]);
    }
    let picture = scene.picture(0);
    assert_eq!(picture.leader, Value::Known(Some(MemberId(2))));
    assert_eq!(picture.term, Value::Known(4));
}

/// "No leader" is an answer, not a gap; without answers the last leader is stale.
#[test]
fn no_leader_is_known() {
    let mut scene = Scene::of(&["127.0.0.1:1"]);
    scene.answers(0, 0, status(1), &[1]);
    scene.answers(0, 1, StatusAnswer { leader: None, ..status(1) }, &[1]);
    assert_eq!(scene.picture(1).leader, Value::Known(None));
    scene.answers(0, 2, status(1), &[1]);
    scene.fails(0, 3, ProbeErrorKind::Unreachable);
    let age = Duration::from_secs(1);
    assert_eq!(scene.picture(3).leader, Value::Stale { value: Some(MemberId(1)), age });
}

/// Lag counts what is applied, against what the leader has committed, and is never negative.
#[test]
fn lag_is_against_the_leader() {
    let mut scene = Scene::of(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    scene.answers(0, 0, status(1), &[1, 2, 3]);
    let behind = StatusAnswer { applied_index: Some(60), commit_index: 90, ..status(2) };
    scene.answers(1, 0, behind, &[1, 2, 3]);
    // Asked a moment later than the leader.
    let ahead = StatusAnswer { applied_index: Some(110), commit_index: 110, ..status(3) };
    scene.answers(2, 0, ahead, &[1, 2, 3]);
    let lags: Vec<_> = scene.picture(0).members.iter().map(|m| m.lag.known().copied()).collect();
    assert_eq!(lags, [Some(0), Some(40), Some(0)]);
}

/// The cluster of most endpoints is shown; the others are strangers. A list that differs is named.
#[test]
fn strangers_and_dissent() {
    let mut scene = Scene::of(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:9", "127.0.0.1:4"]);
    scene.answers(0, 0, status(1), &[1, 2]);
    scene.answers(1, 0, StatusAnswer { applied_index: Some(20), ..status(2) }, &[1, 2, 3]);
    scene.answers(2, 0, StatusAnswer { cluster_id: ClusterId(8), ..status(1) }, &[1]);
    scene.fails(3, 0, ProbeErrorKind::Denied);
    let picture = scene.picture(0);
    assert_eq!(picture.cluster_id, Value::Known(ClusterId(7)));
    assert_eq!(picture.members.len(), 2, "the list of the member that has applied most");
    assert_eq!(picture.dissenting_member_lists, ["127.0.0.1:2"]);
    let states: Vec<_> = picture.strangers.iter().map(|s| &s.state).collect();
    let reason = "connection refused".to_owned();
    let other = StrangerState::OtherCluster { cluster_id: ClusterId(8) };
    assert_eq!(states, [&other, &StrangerState::Refused { reason }]);
}

/// A URL that another member answers on now does not inherit the counters of the one before.
#[test]
fn another_member_at_the_same_url() {
    let mut scene = Scene::of(&["127.0.0.1:1"]);
    scene.answers(0, 0, status(1), &[1, 2]);
    scene.answers(0, 1, StatusAnswer { revision: 90, ..status(2) }, &[1, 2]);
    let picture = scene.picture(1);
    assert_eq!(picture.members[0].endpoint, None, "nobody speaks for the first member now");
    assert_eq!(picture.members[1].endpoint.as_deref(), Some("127.0.0.1:1"));
    assert_eq!(picture.revisions_per_second.known(), None);
}

/// A refusal tells nothing about the majority; a read that no voter answers does.
#[test]
fn serving() {
    let mut scene = Scene::of(&["127.0.0.1:1"]);
    scene.answers(0, 0, status(1), &[1]);
    assert_eq!(scene.picture(0).is_serving, Value::Known(true));
    let refused = |kind| Err(ProbeError { kind, reason: "user name is empty".into() });
    scene.note(0, 1, Question::Read, refused(ProbeErrorKind::Denied));
    assert_eq!(scene.picture(1).is_serving, Value::unknown("user name is empty"));
    assert_eq!(scene.picture(1).members[0].health, Health::Up);
    scene.note(0, 2, Question::Read, refused(ProbeErrorKind::Unreachable));
    assert_eq!(scene.picture(2).is_serving, Value::Known(false));
    assert!(matches!(scene.picture(2).members[0].health, Health::Impaired { .. }));
}
