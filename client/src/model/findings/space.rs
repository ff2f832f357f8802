//! Rules about space: alarms, the quota, fragmentation.

use super::{Finding, Severity, Thresholds, Verdict, all_unknown};
use crate::model::{AlarmKind, ClusterSnapshot};

/// No alarm is set.
pub(super) fn alarm(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    let Some(alarms) = snapshot.alarms.known() else {
        return Verdict::NotKnown("no member answers".into());
    };
    let findings = alarms.iter().map(|alarm| {
        let member = snapshot.member(alarm.member);
        let who = member.map_or_else(|| alarm.member.to_string(), |m| m.label());
        let (evidence, advice) = match &alarm.kind {
            AlarmKind::Nospace => (
                "the database passed the quota; all members refuse writes",
                "In this order: compact to a recent revision, defragment every member, then etcdctl alarm disarm. Raising the quota alone does not clear it.",
            ),
            AlarmKind::Corrupt => (
                "its data differ from the other members'",
                "Do not restart everything. Compare etcdctl endpoint hashkv, replace the odd member from the others, then disarm.",
            ),
            AlarmKind::Other(_) => (
                "an alarm that this program does not know",
                "Look it up in the server's documentation.",
            ),
        };
        Finding {
            rule: "alarm",
            severity: Severity::Critical,
            members: member.map(|m| m.id).into_iter().collect(),
            title: format!("alarm {} on {who}", alarm.kind.word()),
            evidence: evidence.into(),
            advice: advice.into(),
        }
    });
    Verdict::Checked(findings.collect())
}

/// No database is close to its quota.
pub(super) fn quota(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    if let Some(reason) = all_unknown(snapshot.members.iter().map(|member| &member.db_quota)) {
        return Verdict::NotKnown(reason);
    }
    let findings = snapshot.members.iter().filter_map(|member| {
        let (size, quota) = (*member.db_size.known()?, *member.db_quota.last()?);
        let share = size as f64 / quota.max(1) as f64;
        if share < thresholds.quota_warning {
            return None;
        }
        let is_critical = share >= thresholds.quota_critical;
        Some(Finding {
            rule: "quota",
            severity: if is_critical { Severity::Critical } else { Severity::Warning },
            members: vec![member.id],
            title: format!("{} has used {:.0} % of its quota", member.label(), share * 100.0),
            evidence: format!("{} of {} MiB; at 100 % all writes are refused", mib(size), mib(quota)),
            advice: "Compact old revisions and defragment, or raise --quota-backend-bytes on every member.".into(),
        })
    });
    Verdict::Checked(findings.collect())
}

/// No database file is mostly air.
pub(super) fn fragmentation(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    if let Some(reason) = all_unknown(snapshot.members.iter().map(|member| &member.db_in_use)) {
        return Verdict::NotKnown(reason);
    }
    let findings = snapshot.members.iter().filter_map(|member| {
        let (size, in_use) = (*member.db_size.known()?, *member.db_in_use.known()?);
        let share = in_use as f64 / size.max(1) as f64;
        if size < thresholds.fragmentation_min_bytes || share >= thresholds.in_use_share {
            return None;
        }
        Some(Finding {
            rule: "fragmentation",
            severity: Severity::Info,
            members: vec![member.id],
            title: format!(
                "{:.0} % of {}'s database is free space",
                (1.0 - share) * 100.0,
                member.label()
            ),
            evidence: format!("{} of {} MiB in use", mib(in_use), mib(size)),
            advice:
                "Defragment one member after the other, the leader last; each is blocked meanwhile."
                    .into(),
        })
    });
    Verdict::Checked(findings.collect())
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
