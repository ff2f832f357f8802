//! Rules about latency: the log's fsync, the engine's commit, a linearizable read.

use std::time::Duration;

use super::{Finding, Severity, Thresholds, Verdict, all_unknown};
use crate::model::{ClusterSnapshot, MemberSnapshot, Value};

struct Limits {
    good: Duration,
    warning: Duration,
    critical: Duration,
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
    let findings = snapshot.members.iter().filter_map(|member| {
        let p99 = *figure(member).known()?;
        let severity = match p99 {
            p99 if p99 > limits.critical => Severity::Critical,
            p99 if p99 > limits.warning => Severity::Warning,
            p99 if p99 > limits.good => Severity::Info,
            _ => return None,
        };
        Some(Finding {
            rule,
            severity,
            member: Some(member.id),
            title: format!("slow {what} on {}", member.label()),
            evidence: format!(
                "p99 {} ms over the last minute, {} ms is good",
                p99.as_millis(),
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
            member: Some(member.id),
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
