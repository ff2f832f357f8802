//! The rules in the order they are shown, what each may answer, and the report over all of them.

use serde::Serialize;

use super::{Thresholds, leader, members, quorum, space, speed, versions};
use crate::model::{ClusterSnapshot, MemberId, Value};

/// How urgent a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The cluster refuses work or is about to lose data.
    Critical,
    /// One more fault makes it critical.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's name, stable for scripts.
    pub rule: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// The members concerned; empty if it is about the whole cluster.
    pub members: Vec<MemberId>,
    /// What is wrong, in a few words.
    pub title: String,
    /// The figures that say so.
    pub evidence: String,
    /// What to do next.
    pub advice: String,
}

/// The verdict of all rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was found, most urgent first.
    pub findings: Vec<Finding>,
    /// Rules that had what they need.
    pub n_checked: usize,
    /// Rules that lack a figure, with the reason.
    pub not_checked: Vec<NotChecked>,
}

/// A rule that could not judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// The rule's name.
    pub rule: &'static str,
    /// What is missing, a lower-case fragment.
    pub reason: String,
}

/// A rule's answer.
pub(super) enum Verdict {
    Checked(Vec<Finding>),
    NotKnown(String),
}

impl Verdict {
    pub(super) fn fine() -> Self {
        Self::Checked(Vec::new())
    }
}

pub(super) type Check = fn(&ClusterSnapshot, &Thresholds) -> Verdict;

pub(super) struct Rule {
    name: &'static str,
    check: Check,
}

pub(super) const RULES: [Rule; 20] = [
    Rule { name: "reachable", check: quorum::reachable },
    Rule { name: "quorum", check: quorum::quorum },
    Rule { name: "one-cluster", check: quorum::one_cluster },
    Rule { name: "leader", check: leader::has_leader },
    Rule { name: "serving", check: leader::serving },
    Rule { name: "leader-agreement", check: leader::agreement },
    Rule { name: "leader-changes", check: leader::changes },
    Rule { name: "member-up", check: members::up },
    Rule { name: "member-access", check: members::access },
    Rule { name: "member-started", check: members::started },
    Rule { name: "member-lag", check: members::lag },
    Rule { name: "member-lists", check: members::lists_agree },
    Rule { name: "learner", check: members::learner },
    Rule { name: "alarm", check: space::alarm },
    Rule { name: "quota", check: space::quota },
    Rule { name: "fragmentation", check: space::fragmentation },
    Rule { name: "fsync", check: speed::fsync },
    Rule { name: "commit", check: speed::commit },
    Rule { name: "read-latency", check: speed::linearizable_read },
    Rule { name: "versions", check: versions::versions },
];

/// Runs all rules.
pub fn evaluate(snapshot: &ClusterSnapshot, thresholds: &Thresholds) -> Report {
    let mut report = Report { findings: Vec::new(), n_checked: 0, not_checked: Vec::new() };
    for rule in &RULES {
        match (rule.check)(snapshot, thresholds) {
            Verdict::Checked(findings) => {
                report.n_checked += 1;
                report.findings.extend(findings);
            }
            Verdict::NotKnown(reason) => {
                report.not_checked.push(NotChecked { rule: rule.name, reason });
            }
        }
    }
    // Stable: rules of one severity keep their order, so the list does not jump.
    report.findings.sort_by_key(|finding| finding.severity);
    report
}

/// The reason to give when every member lacks a figure: the first member's.
pub(super) fn all_unknown<'a, T: 'a>(values: impl Iterator<Item = &'a Value<T>>) -> Option<String> {
    let mut first = None;
    for value in values {
        match value.reason() {
            Some(reason) => first = first.or(Some(reason.to_owned())),
            None => return None,
        }
    }
    Some(first.unwrap_or_else(|| "no member is known".into()))
}
