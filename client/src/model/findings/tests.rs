//! Each rule against the picture that must trigger it, and all rules against a healthy cluster.

use std::time::Duration;

use super::report::RULES;
use super::*;
use crate::model::{
    Alarm, AlarmKind, ClusterId, ClusterSnapshot, Health, Quorum, StrangerEndpoint, StrangerState,
    Value, samples,
};

fn report(change: impl FnOnce(&mut ClusterSnapshot)) -> Report {
    let mut snapshot = samples::healthy();
    change(&mut snapshot);
    evaluate(&snapshot, &Thresholds::default())
}

/// The findings as "severity rule" lines.
fn found(change: impl FnOnce(&mut ClusterSnapshot)) -> Vec<String> {
    let report = report(change);
    report.findings.iter().map(|f| format!("{} {}", f.severity.word(), f.rule)).collect()
}

/// A healthy cluster has no findings and leaves no rule unchecked.
#[test]
fn healthy_cluster_is_silent() {
    let report = report(|_| {});
    assert_eq!(report.findings, []);
    assert_eq!(report.not_checked, []);
    assert_eq!(report.n_checked, RULES.len());
}

/// One voter down of three: the member is named, and the margin is gone.
#[test]
fn member_down_takes_the_margin() {
    let found = found(|s| *s = samples::one_down());
    assert_eq!(found, ["warning quorum", "warning member-up"]);
}

/// A majority down is critical; each member is named too.
#[test]
fn quorum_lost() {
    let found = found(|s| *s = samples::no_quorum());
    assert_eq!(found, ["critical quorum", "warning member-up", "warning member-up"]);
}

/// Members that only we cannot reach are no lost quorum.
#[test]
fn unreachable_from_here_is_not_quorum_lost() {
    let found = found(|s| {
        for member in &mut s.members[1..] {
            samples::take_down(member, Duration::from_secs(5));
        }
        s.quorum = Value::Known(Quorum { voters: 3, up: 1 });
    });
    assert_eq!(found, ["warning quorum", "warning member-up", "warning member-up"]);
}

/// The sizes of cluster that tolerate less than they seem to.
#[test]
fn one_two_and_four_voters() {
    let with = |voters| found(move |s| s.quorum = Value::Known(Quorum { voters, up: voters }));
    assert_eq!(with(1), ["info quorum"]);
    assert_eq!(with(2), ["warning quorum"]);
    assert_eq!(with(4), ["info quorum"]);
    assert!(with(5).is_empty());
}

/// Nobody answers: one critical finding; everything else is not known rather than fine.
#[test]
fn nobody_answers() {
    let report = report(|s| *s = samples::nobody());
    let rules: Vec<_> = report.findings.iter().map(|f| f.rule).collect();
    assert_eq!(rules, ["reachable"]);
    assert_eq!(report.findings[0].severity, Severity::Critical);
    assert!(report.not_checked.len() > 12, "{:?}", report.not_checked);
}

/// Endpoints that refuse us are not called silent.
#[test]
fn nobody_lets_us_in() {
    let report = report(|s| {
        *s = samples::nobody();
        for stranger in &mut s.strangers {
            stranger.state = StrangerState::Refused { reason: "user name is empty".into() };
        }
    });
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].title.contains("not to us"), "{:?}", report.findings[0]);
    assert!(report.findings[0].advice.contains("--user"));
}

/// A member of another cluster among the endpoints.
#[test]
fn split_cluster() {
    let stranger = StrangerEndpoint {
        endpoint: "http://127.0.0.1:9".into(),
        state: StrangerState::OtherCluster { cluster_id: ClusterId(7) },
    };
    assert_eq!(found(|s| s.strangers = vec![stranger]), ["critical one-cluster"]);
}

/// Both alarms are critical and name their member.
#[test]
fn alarms() {
    for kind in [AlarmKind::Nospace, AlarmKind::Corrupt] {
        let report = report(|s| {
            s.alarms = Value::Known(vec![Alarm { member: samples::IDS[1], kind }]);
        });
        assert_eq!(report.findings.len(), 1);
        assert_eq!(report.findings[0].severity, Severity::Critical);
        assert_eq!(report.findings[0].members, [samples::IDS[1]]);
    }
}

/// Quota: a warning from 80 %, critical from 95 %.
#[test]
fn quota() {
    let at = |percent: u64| {
        found(move |s| {
            s.members[0].db_quota = Value::Known(1000);
            s.members[0].db_size = Value::Known(percent * 10);
            s.members[0].db_in_use = Value::Known(percent * 10);
        })
    };
    assert!(at(79).is_empty());
    assert_eq!(at(80), ["warning quota"]);
    assert_eq!(at(95), ["critical quota"]);
}

/// Without any quota figure the rule says that it does not know.
#[test]
fn unknown_quota_is_not_fine() {
    let report = report(|s| *s = samples::etcd_3_4());
    let rules: Vec<_> = report.not_checked.iter().map(|n| n.rule).collect();
    assert_eq!(rules, ["quota", "fsync", "commit"]);
}

/// A file that is mostly air, if it is large enough to matter.
#[test]
fn fragmentation() {
    let sized = |bytes: u64| {
        found(move |s| {
            s.members[2].db_size = Value::Known(bytes);
            s.members[2].db_in_use = Value::Known(bytes / 5);
        })
    };
    assert_eq!(sized(200 << 20), ["info fragmentation"]);
    assert!(sized(50 << 20).is_empty());
}

/// The fsync ladder of etcd's FAQ and alert rules.
#[test]
fn slow_fsync() {
    let at = |ms| found(move |s| s.members[1].fsync_p99 = Value::Known(Duration::from_millis(ms)));
    assert!(at(10).is_empty());
    assert_eq!(at(11), ["info fsync"]);
    assert_eq!(at(501), ["warning fsync"]);
    assert_eq!(at(1001), ["critical fsync"]);
}

/// Members that are slow alike make one finding that names them all.
#[test]
fn slow_members_are_told_together() {
    let report = report(|s| {
        s.members[0].fsync_p99 = Value::Known(Duration::from_millis(700));
        s.members[1].fsync_p99 = Value::Known(Duration::from_millis(20));
        s.members[2].fsync_p99 = Value::Known(Duration::from_millis(30));
    });
    let titles: Vec<_> = report.findings.iter().map(|f| &*f.title).collect();
    assert_eq!(titles, ["slow log fsync on n1", "slow log fsync on n2, n3"]);
    assert!(report.findings[1].evidence.contains("n2 20 ms, n3 30 ms"));
}

/// Lag counts for voters; a learner has its own rule.
#[test]
fn lag_and_learner() {
    assert_eq!(found(|s| s.members[1].lag = Value::Known(5_001)), ["warning member-lag"]);
    let learner = report(|s| {
        s.members[1].is_learner = true;
        s.members[1].lag = Value::Known(900_000);
        s.members[1].applied_index = Value::Known(400_000);
    });
    assert_eq!(learner.findings.len(), 1);
    assert!(learner.findings[0].evidence.contains("30 %"), "{:?}", learner.findings[0]);
}

/// A learner in sync is told how to be promoted.
#[test]
fn learner_in_sync() {
    let report = report(|s| s.members[1].is_learner = true);
    assert!(report.findings[0].advice.contains("etcdctl member promote 91bc3c398fb3c146"));
}

/// Disagreement about the leader, an unstable leader, reads that do not get through.
#[test]
fn leader_troubles() {
    let leaderless = found(|s| {
        s.leader = Value::Known(None);
        s.is_serving = Value::Known(false);
    });
    assert_eq!(leaderless, ["critical leader"]);
    assert_eq!(found(|s| s.members[2].leader = Value::Known(None)), ["warning leader-agreement"]);
    assert_eq!(found(|s| s.leader_changes.count = 4), ["warning leader-changes"]);
    assert_eq!(found(|s| s.is_serving = Value::Known(false)), ["critical serving"]);
    let slow = Value::Known(Duration::from_millis(800));
    assert_eq!(found(|s| s.members[1].linearizable_read = slow), ["warning read-latency"]);
}

/// Versions one minor apart are an upgrade under way; two apart are not supported.
#[test]
fn versions() {
    let with = |version: &str| {
        let version = version.to_owned();
        found(move |s| s.members[2].version = Value::Known(version))
    };
    assert_eq!(with("3.6.9"), ["info versions"]);
    assert_eq!(with("3.5.1"), ["warning versions"]);
}

/// Members that were never started, that refuse us, and lists that differ.
#[test]
fn membership_troubles() {
    assert_eq!(found(|s| s.members[2].health = Health::NotStarted), ["warning member-started"]);
    let denied = found(|s| {
        s.members[1].health = Health::Impaired { reason: "user name is empty".into() };
        s.members[1].version = Value::unknown("user name is empty");
    });
    assert_eq!(denied, ["warning member-access"]);
    let lists = vec!["http://127.0.0.1:23810".into()];
    assert_eq!(found(|s| s.dissenting_member_lists = lists), ["warning member-lists"]);
}

/// The most urgent comes first, whatever rule found it.
#[test]
fn most_urgent_first() {
    let found = found(|s| {
        s.leader_changes.count = 9;
        s.members[0].fsync_p99 = Value::Known(Duration::from_secs(2));
    });
    assert_eq!(found, ["critical fsync", "warning leader-changes"]);
}
