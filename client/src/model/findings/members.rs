//! Rules about single members: up, readable, started, close to the leader, agreeing on who belongs.

use super::{Finding, Severity, Thresholds, Verdict, all_unknown};
use crate::model::{ClusterSnapshot, Health, MemberSnapshot};

const NO_LIST: &str = "the member list is not known";

fn each(snapshot: &ClusterSnapshot, judge: impl Fn(&MemberSnapshot) -> Option<Finding>) -> Verdict {
    if snapshot.members.is_empty() {
        return Verdict::NotKnown(NO_LIST.into());
    }
    Verdict::Checked(snapshot.members.iter().filter_map(judge).collect())
}

/// Every member answers.
pub(super) fn up(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    each(snapshot, |member| {
        let Health::Down { reason, .. } = &member.health else { return None };
        let at = member.endpoint.as_deref().unwrap_or("no endpoint");
        Some(Finding {
            rule: "member-up",
            severity: Severity::Warning,
            members: vec![member.id],
            title: format!("member {} is down", member.label()),
            evidence: format!("{at}: {reason}"),
            advice: "Start it again with its data directory. If the disk is gone: remove the member first, then add it anew as a learner.".into(),
        })
    })
}

/// The credentials suffice to read a member's state.
pub(super) fn access(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    each(snapshot, |member| {
        let Health::Impaired { reason } = &member.health else { return None };
        // A member that has told its version answers Status; its fault is another rule's.
        if member.version.known().is_some() {
            return None;
        }
        Some(Finding {
            rule: "member-access",
            severity: Severity::Warning,
            members: vec![member.id],
            title: format!("member {} answers, but not to us", member.label()),
            evidence: reason.clone(),
            advice:
                "Authentication is on: give --user and a password file, or a client certificate."
                    .into(),
        })
    })
}

/// Every listed member has started once.
pub(super) fn started(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    each(snapshot, |member| {
        (member.health == Health::NotStarted).then(|| Finding {
            rule: "member-started",
            severity: Severity::Warning,
            members: vec![member.id],
            title: format!("member {} was added but never started", member.id),
            evidence: format!("peer URLs {}, no name", member.peer_urls.join(", ")),
            advice: "Start it with --initial-cluster-state existing, or remove it: a voter counts against the quorum from the moment it is added.".into(),
        })
    })
}

/// No member is far behind, in replication or in applying.
pub(super) fn lag(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    if let Some(reason) = all_unknown(snapshot.members.iter().map(|member| &member.lag)) {
        return Verdict::NotKnown(reason);
    }
    each(snapshot, |member| {
        let behind = *member.lag.known()?;
        if behind <= thresholds.lag_entries || member.is_learner {
            return None;
        }
        let own = match (member.commit_index.known(), member.applied_index.known()) {
            (Some(commit), Some(applied)) => commit.saturating_sub(*applied),
            _ => 0,
        };
        let (what, advice) = if own > thresholds.lag_entries {
            (
                "applies too slowly",
                "Its disk or CPU is too slow, or a defragmentation or compaction runs.",
            )
        } else {
            (
                "lags behind the leader",
                "Look at its disk (fsync) and at the network to the leader; while it lags it is no safety margin.",
            )
        };
        Some(Finding {
            rule: "member-lag",
            severity: Severity::Warning,
            members: vec![member.id],
            title: format!("{} {what}", member.label()),
            evidence: format!(
                "{behind} entries behind the leader, {own} of them received but not applied"
            ),
            advice: advice.into(),
        })
    })
}

/// All members have the same member list.
pub(super) fn lists_agree(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    if snapshot.members.is_empty() {
        return Verdict::NotKnown(NO_LIST.into());
    }
    if snapshot.dissenting_member_lists.is_empty() {
        return Verdict::fine();
    }
    Verdict::Checked(vec![Finding {
        rule: "member-lists",
        severity: Severity::Warning,
        members: Vec::new(),
        title: "the members disagree on who belongs".into(),
        evidence: format!("another list from {}", snapshot.dissenting_member_lists.join(", ")),
        advice: "Normal for a moment during a membership change. If it stays, that member is cut off or was removed.".into(),
    }])
}

/// A learner does not stay one.
pub(super) fn learner(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    let leader_index = snapshot.leader_member().and_then(|l| l.commit_index.known().copied());
    each(snapshot, |member| {
        if !member.is_learner || member.health == Health::NotStarted {
            return None;
        }
        let applied = member.applied_index.known().copied();
        // etcd promotes from 90 % of the leader's index.
        let progress = applied.zip(leader_index).map(|(own, leader)| own * 100 / leader.max(1));
        let (evidence, advice) = match progress {
            Some(share) if share >= 90 => (
                format!("it has {share} % of the leader's log"),
                format!("It is in sync: etcdctl member promote {}", member.id),
            ),
            Some(share) => (
                format!("it has {share} % of the leader's log, promotion needs 90 %"),
                "Wait until it has caught up, then promote it.".to_owned(),
            ),
            None => ("its progress is not known".into(), "Make sure that it runs.".into()),
        };
        Some(Finding {
            rule: "learner",
            severity: Severity::Info,
            members: vec![member.id],
            title: format!("{} is a learner and has no vote", member.label()),
            evidence,
            advice,
        })
    })
}
