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
    let slow: Vec<_> = snapshot
        .members
        .iter()
        .filter_map(|member| {
            let p99 = *figure(member).known()?;
            Some((limits.severity(p99)?, member, p99))
        })
        .collect();
    // Members usually share their slowness; one finding per severity says it once.
    let severities = [Severity::Critical, Severity::Warning, Severity::Info];
    let findings = severities.into_iter().filter_map(|severity| {
        let alike: Vec<_> = slow.iter().filter(|(found, ..)| *found == severity).collect();
        let names: Vec<_> = alike.iter().map(|(_, member, _)| member.label()).collect();
        let times = alike.iter().map(|(_, m, p99)| format!("{} {} ms", m.label(), p99.as_millis()));
        let times: Vec<_> = times.collect();
        (!alike.is_empty()).then(|| Finding {
            rule,
            severity,
            members: alike.iter().map(|(_, member, _)| member.id).collect(),
            title: format!("slow {what} on {}", names.join(", ")),
            evidence: format!(
                "p99 over the last minute: {}; up to {} ms is good",
                times.join(", "),
                limits.good.as_millis()
            ),
            advice: advice.into(),
        })
    });
    Verdict::Checked(findings.collect())
}

/// Reads that need the leader come back quickly.
pub(super) fn linearizable_read(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    let reads = snapshot.members.iter().map(|member| &member.linearizable_read);
    if let Some(reason) = all_unknown(reads) {
        return Verdict::NotKnown(reason);
    }
    let findings = snapshot.members.iter().filter_map(|member| {
        let took = *member.linearizable_read.known()?;
        (took > thresholds.linearizable_read).then(|| Finding {
            rule: "read-latency",
            severity: Severity::Warning,
            members: vec![member.id],
            title: format!("a linearizable read on {} is slow", member.label()),
            evidence: format!(
                "{} ms, while its Status took {} ms",
                took.as_millis(),
                member.round_trip.last().map_or_else(|| "unknown".into(), |d| d.as_millis().to_string())
            ),
            advice: "Status is local, the read needs the leader and a majority: look at the network between the members.".into(),
        })
    });
    Verdict::Checked(findings.collect())
}
