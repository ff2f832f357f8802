//! Which backups to keep: a pure function of (policy, history, now). It deletes nothing and reads no clock.
//!
//! Rules, in the order of their weight:
//! 1. Clusters are judged apart, so that one cluster's backups cannot push out another's.
//! 2. Only *counted* backups (finished, proven) fill a rule's slots. The newest counted one is never deleted.
//! 3. A backup dated in the future is kept and fills no slot: a wrong clock must not delete good backups.
//! 4. A disputed backup is evidence: it is kept until [`RetentionPolicy::keep_disputed_days`] have passed.
//! 5. Every decision carries its reasons, so that a dry run explains itself.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::{AgentError, Result};

/// How many backups to keep, by rule. A backup stays when at least one rule wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// The newest n.
    pub keep_last: u32,
    /// The newest of each of the last n hours that have one.
    pub keep_hourly: u32,
    /// The newest of each of the last n days that have one (days of the policy's time zone, UTC).
    pub keep_daily: u32,
    /// The newest of each of the last n ISO weeks that have one.
    pub keep_weekly: u32,
    /// The newest of each of the last n months that have one.
    pub keep_monthly: u32,
    /// Everything younger than this.
    pub keep_within: Option<SignedDuration>,
    /// Days a disputed backup is kept as evidence.
    pub keep_disputed_days: u32,
}

impl RetentionPolicy {
    /// True when no rule would keep anything but the very newest: the usual sign of a forgotten flag.
    pub fn is_empty(&self) -> bool {
        let Self { keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, .. } = self;
        let n = [keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly];
        n.iter().all(|count| **count == 0) && self.keep_within.is_none()
    }
}

/// What retention needs to know of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBackup {
    /// Backup id.
    pub id: String,
    /// Cluster id, hexadecimal.
    pub cluster_id: String,
    /// When it was started.
    pub taken_at: Timestamp,
    /// True when finished and proven; false when another member contradicted it.
    pub is_counted: bool,
}

/// Why a backup is kept or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// One of the newest `keep_last`.
    Last,
    /// Newest of its hour.
    Hourly(String),
    /// Newest of its day.
    Daily(String),
    /// Newest of its ISO week.
    Weekly(String),
    /// Newest of its month.
    Monthly(String),
    /// Younger than `keep_within`.
    Within,
    /// The newest counted backup of its cluster, which no rule can delete.
    Newest,
    /// Dated in the future.
    Future,
    /// Disputed, and kept as evidence.
    Evidence,
    /// No rule wants it.
    Unwanted,
    /// Disputed, and older than evidence is kept.
    DisputedExpired,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("one of the last"),
            Self::Hourly(hour) => write!(f, "hourly {hour}"),
            Self::Daily(day) => write!(f, "daily {day}"),
            Self::Weekly(week) => write!(f, "weekly {week}"),
            Self::Monthly(month) => write!(f, "monthly {month}"),
            Self::Within => f.write_str("younger than keep-within"),
            Self::Newest => f.write_str("the newest one stays"),
            Self::Future => f.write_str("dated in the future: check the clocks"),
            Self::Evidence => f.write_str("disputed: kept as evidence"),
            Self::Unwanted => f.write_str("no rule keeps it"),
            Self::DisputedExpired => f.write_str("disputed, evidence expired"),
        }
    }
}

/// The verdict on one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Backup id.
    pub id: String,
    /// Cluster id, hexadecimal.
    pub cluster_id: String,
    /// When it was started.
    pub taken_at: Timestamp,
    /// False when it is to be deleted.
    pub keep: bool,
    /// At least one.
    pub reasons: Vec<Reason>,
}

/// Decides on every backup, newest first within each cluster.
///
/// # Errors
/// An empty policy is refused: it would delete everything but the newest.
pub fn plan_retention(
    policy: &RetentionPolicy,
    history: &[KeptBackup],
    now: Timestamp,
) -> Result<Vec<Decision>> {
    if policy.is_empty() {
        return Err(AgentError::refused(
            "no keep rule was given",
            "Give at least one of --keep-last, --keep-hourly, --keep-daily, --keep-weekly, \
             --keep-monthly, --keep-within.",
        ));
    }
    let mut clusters: BTreeMap<&str, Vec<&KeptBackup>> = BTreeMap::new();
    for backup in history {
        clusters.entry(&backup.cluster_id).or_default().push(backup);
    }
    let mut decisions = Vec::with_capacity(history.len());
    for mut backups in clusters.into_values() {
        backups.sort_by(|a, b| (b.taken_at, &b.id).cmp(&(a.taken_at, &a.id)));
        decide_cluster(policy, &backups, now, &mut decisions);
    }
    Ok(decisions)
}

/// Judges one cluster's backups, given newest first.
fn decide_cluster(
    policy: &RetentionPolicy,
    backups: &[&KeptBackup],
    now: Timestamp,
    decisions: &mut Vec<Decision>,
) {
    let mut slots = Slots::new(policy);
    let mut is_newest = true;
    for backup in backups {
        let mut reasons = Vec::new();
        if backup.taken_at > now {
            reasons.push(Reason::Future);
        } else if backup.is_counted {
            slots.claim(backup.taken_at, now, &mut reasons);
            if is_newest && reasons.is_empty() {
                reasons.push(Reason::Newest);
            }
            is_newest = false;
        } else if is_older(backup.taken_at, now, policy.keep_disputed_days) {
            decisions.push(decision(backup, false, vec![Reason::DisputedExpired]));
            continue;
        } else {
            reasons.push(Reason::Evidence);
        }
        let keep = !reasons.is_empty();
        if !keep {
            reasons.push(Reason::Unwanted);
        }
        decisions.push(decision(backup, keep, reasons));
    }
}

fn decision(backup: &KeptBackup, keep: bool, reasons: Vec<Reason>) -> Decision {
    let KeptBackup { id, cluster_id, taken_at, .. } = backup.clone();
    Decision { id, cluster_id, taken_at, keep, reasons }
}

fn is_older(taken_at: Timestamp, now: Timestamp, days: u32) -> bool {
    now.duration_since(taken_at) > SignedDuration::from_hours(i64::from(days) * 24)
}

/// The slots each rule still has, filled newest first.
struct Slots<'a> {
    policy: &'a RetentionPolicy,
    last_left: u32,
    calendar: [CalendarRule; 4],
}

/// One rule "the newest of each of the last n periods".
struct CalendarRule {
    left: u32,
    newest_period: Option<String>,
    format: &'static str,
    reason: fn(String) -> Reason,
}

impl<'a> Slots<'a> {
    fn new(policy: &'a RetentionPolicy) -> Self {
        let rule =
            |left, format, reason| CalendarRule { left, newest_period: None, format, reason };
        let calendar = [
            rule(policy.keep_hourly, "%Y-%m-%dT%H", Reason::Hourly as fn(String) -> Reason),
            rule(policy.keep_daily, "%Y-%m-%d", Reason::Daily),
            rule(policy.keep_weekly, "%G-W%V", Reason::Weekly),
            rule(policy.keep_monthly, "%Y-%m", Reason::Monthly),
        ];
        Self { policy, last_left: policy.keep_last, calendar }
    }

    /// Offers the next older backup to every rule and notes the ones that want it.
    fn claim(&mut self, taken_at: Timestamp, now: Timestamp, reasons: &mut Vec<Reason>) {
        if self.last_left > 0 {
            self.last_left -= 1;
            reasons.push(Reason::Last);
        }
        let civil = taken_at.to_zoned(TimeZone::UTC);
        for rule in &mut self.calendar {
            let period = civil.strftime(rule.format).to_string();
            if rule.left == 0 || rule.newest_period.as_ref() == Some(&period) {
                continue;
            }
            rule.left -= 1;
            rule.newest_period = Some(period.clone());
            reasons.push((rule.reason)(period));
        }
        if self.policy.keep_within.is_some_and(|within| now.duration_since(taken_at) <= within) {
            reasons.push(Reason::Within);
        }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
