//! Ready-made pictures of clusters for tests of findings and screens. Compiled for tests only.

use std::time::Duration;

use super::{
    Alarm, AlarmKind, ClusterId, ClusterSnapshot, Health, LeaderChanges, MemberId, MemberSnapshot,
    Quorum, Role, StrangerEndpoint, StrangerState, Value,
};

const MIB: u64 = 1 << 20;

/// Ids as a real cluster has them.
pub const IDS: [MemberId; 3] = [
    MemberId(0x8211_f1d0_f64f_3269),
    MemberId(0x91bc_3c39_8fb3_c146),
    MemberId(0xfd42_2379_fda5_0e48),
];

/// Three voters, all well, `n1` leads.
pub fn healthy() -> ClusterSnapshot {
    ClusterSnapshot {
        round: 42,
        cluster_id: Value::Known(ClusterId(0xef37_ad9d_c622_a7c4)),
        leader: Value::Known(Some(IDS[0])),
        term: Value::Known(4),
        revision: Value::Known(1_204_331),
        quorum: Value::Known(Quorum { voters: 3, up: 3 }),
        is_serving: Value::Known(true),
        alarms: Value::Known(Vec::new()),
        puts_per_second: Value::Known(1_312.4),
        revisions_per_second: Value::Known(1_309.8),
        leader_changes: LeaderChanges { count: 0, window: Duration::from_secs(300) },
        members: (0..3).map(member).collect(),
        strangers: Vec::new(),
        dissenting_member_lists: Vec::new(),
    }
}

/// Member `n1`, `n2` or `n3` (`at` 0 to 2) of [`healthy`].
pub fn member(at: usize) -> MemberSnapshot {
    let port = 23790 + at * 10;
    MemberSnapshot {
        id: IDS[at],
        name: format!("n{}", at + 1),
        is_learner: false,
        peer_urls: vec![format!("http://10.0.0.{}:2380", at + 1)],
        client_urls: vec![format!("http://127.0.0.1:{port}")],
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        health: Health::Up,
        role: Value::Known(if at == 0 { Role::Leader } else { Role::Follower }),
        leader: Value::Known(Some(IDS[0])),
        version: Value::Known("3.7.1".into()),
        storage_version: Value::Known("3.7.0".into()),
        term: Value::Known(4),
        commit_index: Value::Known(1_310_022),
        applied_index: Value::Known(1_310_022 - at as u64),
        lag: Value::Known(at as u64),
        revision: Value::Known(1_204_331),
        db_size: Value::Known(412 * MIB),
        db_in_use: Value::Known(298 * MIB),
        db_quota: Value::Known(2048 * MIB),
        alarms: Value::Known(Vec::new()),
        fsync_p99: Value::Known(Duration::from_micros(1_900 + at as u64 * 2_300)),
        commit_p99: Value::Known(Duration::from_micros(7_400)),
        puts_per_second: Value::Known(1_312.4),
        memory: Value::Known(214 * MIB),
        round_trip: Value::Known(Duration::from_micros(480 + at as u64 * 900)),
        linearizable_read: Value::Known(Duration::from_micros(1_300)),
    }
}

/// Makes every answer of the member stale and its health [`Health::Down`].
pub fn take_down(member: &mut MemberSnapshot, age: Duration) {
    fn stale<T>(value: &mut Value<T>, age: Duration) {
        let old = std::mem::replace(value, Value::unknown("connection refused"));
        if let Value::Known(old) = old {
            *value = Value::Stale { value: old, age };
        }
    }
    member.health = Health::Down { reason: "connection refused".into(), since: age };
    stale(&mut member.role, age);
    stale(&mut member.leader, age);
    stale(&mut member.version, age);
    stale(&mut member.storage_version, age);
    stale(&mut member.term, age);
    stale(&mut member.commit_index, age);
    stale(&mut member.applied_index, age);
    stale(&mut member.revision, age);
    stale(&mut member.db_size, age);
    stale(&mut member.db_in_use, age);
    stale(&mut member.db_quota, age);
    stale(&mut member.fsync_p99, age);
    stale(&mut member.commit_p99, age);
    stale(&mut member.puts_per_second, age);
    stale(&mut member.memory, age);
    stale(&mut member.round_trip, age);
    stale(&mut member.linearizable_read, age);
    member.lag = Value::unknown("the member does not answer");
}

/// [`healthy`], but `n3` has been down for 12 s.
pub fn one_down() -> ClusterSnapshot {
    let mut snapshot = healthy();
    take_down(&mut snapshot.members[2], Duration::from_secs(12));
    snapshot.quorum = Value::Known(Quorum { voters: 3, up: 2 });
    snapshot
}

/// Only `n3` is up: it knows no leader and serves nothing.
pub fn no_quorum() -> ClusterSnapshot {
    let mut snapshot = healthy();
    take_down(&mut snapshot.members[0], Duration::from_secs(75));
    take_down(&mut snapshot.members[1], Duration::from_secs(34));
    let survivor = &mut snapshot.members[2];
    survivor.health = Health::Impaired { reason: "has no leader".into() };
    survivor.role = Value::Known(Role::Leaderless);
    survivor.leader = Value::Known(None);
    survivor.term = Value::Known(9);
    survivor.linearizable_read = Value::unknown("no answer within 2.0 s");
    snapshot.leader = Value::Known(None);
    snapshot.term = Value::Known(9);
    snapshot.quorum = Value::Known(Quorum { voters: 3, up: 1 });
    snapshot.is_serving = Value::Known(false);
    snapshot.puts_per_second = Value::unknown("the leader is not known");
    snapshot.revisions_per_second = Value::unknown("the leader is not known");
    snapshot
}

/// [`healthy`], but `n2` ran out of space.
pub fn nospace() -> ClusterSnapshot {
    let mut snapshot = healthy();
    let full = &mut snapshot.members[1];
    full.db_size = Value::Known(2049 * MIB);
    full.db_in_use = Value::Known(890 * MIB);
    full.alarms = Value::Known(vec![AlarmKind::Nospace]);
    full.health = Health::Impaired { reason: "alarm NOSPACE".into() };
    snapshot.alarms = Value::Known(vec![Alarm { member: IDS[1], kind: AlarmKind::Nospace }]);
    snapshot.puts_per_second = Value::Known(0.0);
    snapshot
}

/// One member of etcd 3.4 whose metrics cannot be read: much is unknown.
pub fn etcd_3_4() -> ClusterSnapshot {
    let mut snapshot = healthy();
    snapshot.members.truncate(1);
    let member = &mut snapshot.members[0];
    let no_metrics = || "GET /metrics answers 404".to_owned();
    member.name = "default".into();
    member.version = Value::Known("3.4.23".into());
    member.storage_version =
        Value::unknown("etcd reports the storage version since 3.6, this is 3.4.23");
    member.db_quota = Value::unknown("etcd reports the quota since 3.6, this is 3.4.23");
    member.fsync_p99 = Value::Unknown(no_metrics());
    member.commit_p99 = Value::Unknown(no_metrics());
    member.puts_per_second = Value::Unknown(no_metrics());
    member.memory = Value::Unknown(no_metrics());
    snapshot.quorum = Value::Known(Quorum { voters: 1, up: 1 });
    snapshot.puts_per_second = Value::unknown("the leader's metrics are not readable");
    snapshot
}

/// No endpoint answers.
pub fn nobody() -> ClusterSnapshot {
    let mut snapshot = ClusterSnapshot::empty();
    snapshot.round = 3;
    snapshot.strangers = ["127.0.0.1:2379", "127.0.0.1:22379"]
        .map(|endpoint| StrangerEndpoint {
            endpoint: endpoint.into(),
            state: StrangerState::Silent { reason: "connection refused".into() },
        })
        .into();
    snapshot
}
