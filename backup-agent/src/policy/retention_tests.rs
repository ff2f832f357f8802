//! Tests of retention: worked examples, and properties over random histories.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn backup(cluster_id: &str, taken_at: Timestamp, is_counted: bool) -> KeptBackup {
    let id = format!("{cluster_id}-{taken_at}");
    KeptBackup { id, cluster_id: cluster_id.to_owned(), taken_at, is_counted }
}

fn hourly_history(n: i64, newest: Timestamp) -> Vec<KeptBackup> {
    (0..n).map(|i| backup("c", newest - SignedDuration::from_hours(i), true)).collect()
}

/// Three hourly and two daily slots keep the newest of three hours and of two days.
#[test]
fn keeps_the_newest_of_each_period() {
    let now = at("2026-11-21T12:30:00Z");
    let history = hourly_history(48, at("2026-11-21T12:00:00Z"));
    let policy = RetentionPolicy { keep_hourly: 3, keep_daily: 2, ..Default::default() };
    let plan = plan_retention(&policy, &history, now).expect("a plan");
    let kept: Vec<_> = plan.iter().filter(|d| d.keep).map(|d| d.taken_at.to_string()).collect();
    assert_eq!(
        kept,
        [
            "2026-11-21T12:00:00Z",
            "2026-11-21T11:00:00Z",
            "2026-11-21T10:00:00Z",
            "2026-11-20T23:00:00Z"
        ]
    );
    assert_eq!(plan[0].reasons.len(), 2, "{:?}", plan[0].reasons);
}

/// Without any rule nothing is decided: a forgotten flag must not delete backups.
#[test]
fn an_empty_policy_is_refused() {
    let error = plan_retention(&RetentionPolicy::default(), &[], at("2026-11-21T12:00:00Z"))
        .expect_err("refused");
    assert_eq!(error.exit_code(), 7);
}

/// One cluster's many backups do not push out the other's only one.
#[test]
fn clusters_are_judged_apart() {
    let now = at("2026-11-21T12:30:00Z");
    let mut history = hourly_history(10, at("2026-11-21T12:00:00Z"));
    history.push(backup("other", at("2020-01-01T00:00:00Z"), true));
    let policy = RetentionPolicy { keep_last: 2, ..Default::default() };
    let plan = plan_retention(&policy, &history, now).expect("a plan");
    assert!(plan.iter().any(|d| d.cluster_id == "other" && d.keep));
    assert_eq!(plan.iter().filter(|d| d.cluster_id == "c" && d.keep).count(), 2);
}

/// Disputed backups fill no slot, stay as evidence for a while, then go.
#[test]
fn disputed_backups_are_evidence_only() {
    let now = at("2026-11-21T12:30:00Z");
    let history = [
        backup("c", at("2026-11-21T12:00:00Z"), false),
        backup("c", at("2026-11-20T12:00:00Z"), true),
        backup("c", at("2026-10-01T12:00:00Z"), false),
    ];
    let policy = RetentionPolicy { keep_last: 1, keep_disputed_days: 14, ..Default::default() };
    let plan = plan_retention(&policy, &history, now).expect("a plan");
    assert_eq!(plan[0].reasons, [Reason::Evidence]);
    assert_eq!(plan[1].reasons, [Reason::Last]);
    assert!(!plan[2].keep);
}

fn any_history() -> impl Strategy<Value = Vec<KeptBackup>> {
    let one = (0u8..3, 0i64..2_000_000, prop::bool::weighted(0.85));
    prop::collection::vec(one, 0..60).prop_map(|rows| {
        let base = at("2026-10-30T00:00:00Z");
        rows.into_iter()
            .enumerate()
            .map(|(i, (cluster, seconds, counted))| {
                let taken_at = base + SignedDuration::from_secs(seconds);
                let mut row = backup(&format!("c{cluster}"), taken_at, counted);
                row.id.push_str(&format!("-{i}"));
                row
            })
            .collect()
    })
}

fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
    let within = prop::option::of((0i64..100).prop_map(SignedDuration::from_hours));
    (0u32..6, 0u32..6, 0u32..6, 0u32..3, 0u32..3, within).prop_map(
        |(last, hourly, daily, weekly, monthly, within)| RetentionPolicy {
            keep_last: last,
            keep_hourly: hourly,
            keep_daily: daily,
            keep_weekly: weekly,
            keep_monthly: monthly,
            keep_within: within,
            keep_disputed_days: 7,
        },
    )
}

proptest! {
    /// Whatever the history: each backup gets one verdict with a reason; the newest counted one of every cluster
    /// stays; nothing from the future is deleted; a second run deletes nothing more.
    #[test]
    fn plans_are_safe(history in any_history(), policy in any_policy()) {
        prop_assume!(!policy.is_empty());
        let now = at("2026-11-21T12:00:00Z");
        let plan = plan_retention(&policy, &history, now).expect("a plan");
        prop_assert_eq!(plan.len(), history.len());
        prop_assert!(plan.iter().all(|d| !d.reasons.is_empty()));

        for cluster in ["c0", "c1", "c2"] {
            let counted: Vec<_> = history.iter()
                .filter(|b| b.cluster_id == cluster && b.is_counted && b.taken_at <= now).collect();
            let kept = |b: &KeptBackup| plan.iter().any(|d| d.id == b.id && d.keep);
            if let Some(newest) = counted.iter().max_by_key(|b| (b.taken_at, b.id.clone())) {
                prop_assert!(kept(newest));
            }
        }
        for b in history.iter().filter(|b| b.taken_at > now) {
            prop_assert!(plan.iter().any(|d| d.id == b.id && d.keep));
        }

        let left: Vec<_> = history.iter()
            .filter(|b| plan.iter().any(|d| d.id == b.id && d.keep)).cloned().collect();
        let again = plan_retention(&policy, &left, now).expect("a plan");
        prop_assert!(again.iter().all(|d| d.keep), "a second run must delete nothing");
    }

    /// Asking for more never deletes more.
    #[test]
    fn a_larger_policy_keeps_a_superset(history in any_history(), policy in any_policy()) {
        prop_assume!(!policy.is_empty());
        let now = at("2026-11-21T12:00:00Z");
        let larger = RetentionPolicy {
            keep_last: policy.keep_last + 1, keep_daily: policy.keep_daily + 2, ..policy.clone()
        };
        let kept = |policy: &RetentionPolicy| -> Vec<String> {
            let plan = plan_retention(policy, &history, now).expect("a plan");
            plan.into_iter().filter(|d| d.keep).map(|d| d.id).collect()
        };
        let (small, large) = (kept(&policy), kept(&larger));
        prop_assert!(small.iter().all(|id| large.contains(id)));
    }
}
