//! Rules about latency: the log's fsync, the engine's commit, a linearizable read.

use std::time::Duration;

use super::{Finding, Severity, Thresholds, Verdict, all_unknown};
use crate::model::{ClusterSnapshot, MemberSnapshot, Value};

struct Limits {
    good: Duration,
    warning: Duration,
    critical: Duration,
}

impl Limits {
    fn severity(&self, p99: Duration) -> Option<Severity> {
        match p99 {
            p99 if p99 > self.critical => Some(Severity::Critical),
            p99 if p99 > self.warning => Some(Severity::Warning),
            p99 if p99 > self.good => Some(Severity::Info),
            _ => None,
        }
    }
}

/// The log's disk is fast.
pub(super) fn fsync(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    let limits = Limits {
        good: thresholds.fsync_good,
        warning: thresholds.fsync_warning,
        critical: thresholds.fsync_critical,
    };
    let advice = "Give the member a disk of its own (SSD), and look for neighbours that write: every write waits for this.";
    percentile(snapshot, "fsync", "log fsync", |m| &m.fsync_p99, &limits, advice)
}

/// The engine commits quickly.
pub(super) fn commit(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    let limits = Limits {
        good: thresholds.commit_good,
        warning: thresholds.commit_warning,
        critical: Duration::MAX,
    };
    let advice = "The disk is slow or busy; large values and many keys per commit make it worse.";
    percentile(snapshot, "commit", "engine commit", |m| &m.commit_p99, &limits, advice)
}

fn percentile(
    snapshot: &ClusterSnapshot,
    rule: &'static str,
    what: &str,
    figure: impl Fn(&MemberSnapshot) -> &Value<Duration>,
    limits: &Limits,
    advice: &str,
) -> Verdict {
    if let Some(reason) = all_unknown(snapshot.members.iter().map(&figure)) {
        return Verdict::NotKnown(reason);
    }
    let slow = snapshot.members.iter().filter_map(|member| {
        let p99 = *figure(member).known()?;
        Some(Slow { severity: limits.severity(p99)?, member, took: p99 })
    });
    let telling = Telling {
        rule,
        title: format!("slow {what}"),
        measure: "p99 over the last minute",
        good: limits.good,
        advice,
    };
    Verdict::Checked(together(&slow.collect::<Vec<_>>(), &telling))
}

struct Slow<'a> {
    severity: Severity,
    member: &'a MemberSnapshot,
    took: Duration,
}

struct Telling<'a> {
    rule: &'static str,
    title: String,
    measure: &'a str,
    good: Duration,
    advice: &'a str,
}

/// Members usually share their slowness: one finding per severity says it once.
fn together(slow: &[Slow<'_>], telling: &Telling<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
        let alike: Vec<_> = slow.iter().filter(|slow| slow.severity == severity).collect();
        if alike.is_empty() {
            continue;
        }
        let names: Vec<_> = alike.iter().map(|slow| slow.member.label()).collect();
        let times: Vec<_> =
            alike.iter().map(|slow| format!("{} {}", slow.member.label(), ms(slow.took))).collect();
        findings.push(Finding {
            rule: telling.rule,
            severity,
            members: alike.iter().map(|slow| slow.member.id).collect(),
            title: format!("{} on {}", telling.title, names.join(", ")),
            evidence: format!(
                "{}: {}; up to {} is good",
                telling.measure,
                times.join(", "),
                ms(telling.good)
            ),
            advice: telling.advice.into(),
        });
    }
    findings
}

fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// Reads that need the leader come back quickly.
pub(super) fn linearizable_read(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    let reads = snapshot.members.iter().map(|member| &member.linearizable_read);
    if let Some(reason) = all_unknown(reads) {
        return Verdict::NotKnown(reason);
    }
    let limit = thresholds.linearizable_read;
    let slow = snapshot.members.iter().filter_map(|member| {
        let took = *member.linearizable_read.known()?;
        (took > limit).then_some(Slow { severity: Severity::Warning, member, took })
    });
    let telling = Telling {
        rule: "read-latency",
        title: "slow linearizable reads".into(),
        measure: "the last read",
        good: limit,
        advice: "Usual for a moment while a leader is elected. If it stays: a read needs the leader and a majority, so look at the network between the members and at the leader's disk.",
    };
    Verdict::Checked(together(&slow.collect::<Vec<_>>(), &telling))
}
