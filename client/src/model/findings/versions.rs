//! Rule about the members' versions.

use std::collections::BTreeSet;

use super::{Finding, Severity, Thresholds, Verdict, all_unknown};
use crate::model::ClusterSnapshot;

/// All members run one version.
pub(super) fn versions(snapshot: &ClusterSnapshot, _: &Thresholds) -> Verdict {
    if let Some(reason) = all_unknown(snapshot.members.iter().map(|member| &member.version)) {
        return Verdict::NotKnown(reason);
    }
    let versions: BTreeSet<&str> =
        snapshot.members.iter().filter_map(|m| m.version.last()).map(String::as_str).collect();
    if versions.len() < 2 {
        return Verdict::fine();
    }
    let minors: Vec<(u32, u32)> = versions.iter().filter_map(|version| minor(version)).collect();
    let (low, high) = (minors.iter().min(), minors.iter().max());
    let is_wide = match (low, high) {
        (Some(low), Some(high)) => low.0 != high.0 || high.1 - low.1 > 1,
        _ => false,
    };
    let evidence = snapshot
        .members
        .iter()
        .filter_map(|m| Some(format!("{} {}", m.label(), m.version.last()?)))
        .collect::<Vec<_>>()
        .join(", ");
    let (severity, title, advice) = if is_wide {
        (
            Severity::Warning,
            "the members' versions are more than one minor release apart",
            "etcd supports one minor release of difference, and only during an upgrade: upgrade step by step.",
        )
    } else {
        (
            Severity::Info,
            "the members run different versions",
            "Fine during a rolling upgrade; finish it before anything else.",
        )
    };
    Verdict::Checked(vec![Finding {
        rule: "versions",
        severity,
        members: Vec::new(),
        title: title.into(),
        evidence,
        advice: advice.into(),
    }])
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
