//! Rules about the leader: that there is one, that all agree on it, that it stays, that reads reach it.

use super::{Finding, Severity, Thresholds, Verdict};
use crate::model::{ClusterSnapshot, Health};

/// The members that answer know a leader.
pub(super) fn has_leader(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    let is_quorum_lost = snapshot.quorum.last().is_some_and(|quorum| quorum.margin().is_none());
    match snapshot.leader.known() {
        None => Verdict::NotKnown("no member answers".into()),
        // The cause is named by the rule about the quorum; its consequence would only be noise.
        Some(None) if is_quorum_lost => Verdict::fine(),
        Some(Some(_)) => Verdict::fine(),
        Some(None) => Verdict::Checked(vec![Finding {
            rule: "leader",
            severity: Severity::Critical,
            members: Vec::new(),
            title: "no leader".into(),
            evidence: format!(
                "none of the members that answer knows one, term {}",
                snapshot.term.last().map_or_else(|| "unknown".into(), u64::to_string)
            ),
            advice: "With a majority up, an election takes about a second; if none comes, check the peer URLs, the peer certificates and the network between the members.".into(),
        }]),
    }
}

/// Linearizable reads get through while there is a leader.
pub(super) fn serving(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    match (snapshot.is_serving.known(), snapshot.leader.known()) {
        (None, _) => Verdict::NotKnown(
            snapshot.is_serving.reason().unwrap_or("no linearizable read was tried").into(),
        ),
        (Some(false), Some(Some(leader))) => {
            let why = snapshot.members.iter().find_map(|member| match &member.health {
                Health::Impaired { reason } => Some(format!("{}: {reason}", member.label())),
                _ => None,
            });
            Verdict::Checked(vec![Finding {
                rule: "serving",
                severity: Severity::Critical,
                members: vec![*leader],
                title: "a leader is known, but no linearizable read gets through".into(),
                evidence: why.unwrap_or_else(|| "every linearizable read failed".into()),
                advice: "The leader has probably lost its majority or its disk hangs; look at fsync and at the members' logs.".into(),
            }])
        }
        (Some(_), _) => Verdict::fine(),
    }
}

/// All members that answer follow the same leader.
pub(super) fn agreement(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    let Some(Some(leader)) = snapshot.leader.known() else {
        return Verdict::NotKnown("there is no leader to agree on".into());
    };
    let name = snapshot.member(*leader).map_or_else(|| leader.to_string(), |m| m.label());
    let findings = snapshot.members.iter().filter_map(|member| {
        let sees = match member.leader.known()? {
            Some(other) if other == leader => return None,
            Some(other) => format!("follows {other}"),
            None => "knows no leader".into(),
        };
        Some(Finding {
            rule: "leader-agreement",
            severity: Severity::Warning,
            members: vec![member.id],
            title: format!("{} does not follow the leader", member.label()),
            evidence: format!(
                "it {sees} in term {}, the others follow {name}",
                member.term.last().map_or_else(|| "unknown".into(), u64::to_string)
            ),
            advice: "It is probably cut off from the others: check the network and the peer URLs between them.".into(),
        })
    });
    Verdict::Checked(findings.collect())
}

/// The leader does not change again and again.
pub(super) fn changes(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Verdict {
    let changes = snapshot.leader_changes;
    if changes.count < thresholds.leader_changes {
        return Verdict::fine();
    }
    let minutes = changes.window.as_secs().div_ceil(60).max(1);
    Verdict::Checked(vec![Finding {
        rule: "leader-changes",
        severity: Severity::Warning,
        members: Vec::new(),
        title: "the leader changes too often".into(),
        evidence: format!("{} changes in {minutes} min", changes.count),
        advice: "Slow disks or a slow network make followers lose patience: look at fsync, or raise the heartbeat interval and the election timeout.".into(),
    }])
}
