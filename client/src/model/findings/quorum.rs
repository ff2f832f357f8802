//! Rules about reaching the cluster at all and about how many voters may still fail.

use super::{Finding, Severity, Thresholds, Verdict};
use crate::model::{ClusterSnapshot, Quorum, StrangerState};

/// Some endpoint answers, and answers us.
pub(super) fn reachable(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    let mut silent = Vec::new();
    let mut refusing = Vec::new();
    for stranger in &snapshot.strangers {
        match &stranger.state {
            StrangerState::Silent { reason } => silent.push((&*stranger.endpoint, &**reason)),
            StrangerState::Refused { reason } => refusing.push((&*stranger.endpoint, &**reason)),
            StrangerState::OtherCluster { .. } | StrangerState::NotListed { .. } => {}
        }
    }
    let is_blind = snapshot.cluster_id.reason().is_some();
    let is_silent = is_blind && refusing.is_empty();
    let findings = [
        unusable(
            &silent,
            if is_silent { "no endpoint answers" } else { "an endpoint does not answer" },
            is_silent,
            "Check --endpoints, the scheme (http or https), the certificates, and that the servers run.",
        ),
        unusable(
            &refusing,
            "the servers answer, but not to us",
            is_blind,
            "Authentication is on: give --user with --password-file, or a client certificate.",
        ),
    ];
    Verdict::Checked(findings.into_iter().flatten().collect())
}

fn unusable(
    endpoints: &[(&str, &str)],
    title: &str,
    is_critical: bool,
    advice: &str,
) -> Option<Finding> {
    let (_, reason) = endpoints.first()?;
    let names: Vec<_> = endpoints.iter().map(|(endpoint, _)| *endpoint).collect();
    Some(Finding {
        rule: "reachable",
        severity: if is_critical { Severity::Critical } else { Severity::Warning },
        members: Vec::new(),
        title: title.into(),
        evidence: format!("{}: {reason}", names.join(", ")),
        advice: advice.into(),
    })
}

/// Enough voters are up, and one more may fail.
pub(super) fn quorum(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    let Some(quorum) = snapshot.quorum.last().copied() else {
        let reason = snapshot.quorum.reason().unwrap_or("the member list is not known");
        return Verdict::NotKnown(reason.into());
    };
    let evidence =
        format!("{} of {} voters up, {} needed", quorum.up, quorum.voters, quorum.needed());
    let is_serving = snapshot.is_serving.known() == Some(&true);
    let (severity, title, advice) = match quorum.margin() {
        None if is_serving => (
            Severity::Warning,
            "most voters cannot be reached from here",
            "The cluster still serves, so they reach each other. Give endpoints that this machine can reach.",
        ),
        None => (
            Severity::Critical,
            "quorum is lost: no writes, no linearizable reads",
            "Start the members that are down. Only if their disks are gone for good, restore from a backup or recover from one survivor.",
        ),
        Some(0) if quorum.voters == 1 => (
            Severity::Info,
            "one voter: the cluster survives no failure",
            "Add members until there are three; keep backups until then.",
        ),
        Some(0) if quorum.up == quorum.voters => (
            Severity::Warning,
            "two voters survive no failure",
            "Add a third member: two are more fragile than one.",
        ),
        Some(0) => (
            Severity::Warning,
            "no voter may fail any more",
            "Bring the members that are down back first; put off maintenance of the others.",
        ),
        Some(_) => return Verdict::Checked(even(quorum)),
    };
    Verdict::Checked(vec![Finding {
        rule: "quorum",
        severity,
        members: Vec::new(),
        title: title.into(),
        evidence,
        advice: advice.into(),
    }])
}

fn even(quorum: Quorum) -> Vec<Finding> {
    if !quorum.voters.is_multiple_of(2) {
        return Vec::new();
    }
    vec![Finding {
        rule: "quorum",
        severity: Severity::Info,
        members: Vec::new(),
        title: format!(
            "{} voters tolerate no more failures than {}",
            quorum.voters,
            quorum.voters - 1
        ),
        evidence: format!("{} voters need {} up", quorum.voters, quorum.needed()),
        advice: "Use an odd number of voters.".into(),
    }]
}

/// All endpoints belong to one cluster.
pub(super) fn one_cluster(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    let Some(cluster_id) = snapshot.cluster_id.last() else {
        return Verdict::NotKnown("no endpoint answered".into());
    };
    let findings = snapshot.strangers.iter().filter_map(|stranger| {
        let (severity, title, evidence, advice) = match &stranger.state {
            StrangerState::Silent { .. } | StrangerState::Refused { .. } => return None,
            StrangerState::OtherCluster { cluster_id: other } => (
                Severity::Critical,
                format!("{} belongs to another cluster", stranger.endpoint),
                format!("cluster id {other}, the others answer {cluster_id}"),
                "If it should be one cluster, it is split: stop the stray member before clients write to it. Otherwise correct --endpoints.",
            ),
            StrangerState::NotListed { member_id } => (
                Severity::Warning,
                format!("{} is not in the member list", stranger.endpoint),
                format!("it answers as member {member_id}"),
                "It was probably removed: stop it and delete its data directory.",
            ),
        };
        let advice = advice.into();
        Some(Finding { rule: "one-cluster", severity, members: Vec::new(), title, evidence, advice })
    });
    Verdict::Checked(findings.collect())
}
