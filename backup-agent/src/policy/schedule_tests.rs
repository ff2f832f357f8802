//! Tests of the schedule: field forms, daylight saving, jitter, missed runs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn runs(expression: &str, zone: &str, from: &str, n: usize) -> Vec<String> {
    let schedule = Schedule::parse(expression, zone).expect("an expression");
    let mut now = at(from);
    let mut seen = Vec::new();
    for _ in 0..n {
        now = schedule.next_after(now).expect("a next run");
        seen.push(now.to_string());
    }
    seen
}

/// Five fields start at the minute, six at the second; names work.
#[test]
fn accepts_five_six_fields_and_names() {
    assert_eq!(runs("*/5 * * * *", "UTC", "2026-11-21T08:58:57Z", 1), ["2026-11-21T09:00:00Z"]);
    assert_eq!(runs("30 */5 * * * *", "UTC", "2026-11-21T08:58:57Z", 1), ["2026-11-21T09:00:30Z"]);
    assert_eq!(runs("@daily", "UTC", "2026-11-21T08:58:57Z", 1), ["2026-11-22T00:00:00Z"]);
    assert_eq!(runs("0 4 * * 7", "UTC", "2026-11-21T08:58:57Z", 1), ["2026-11-22T04:00:00Z"]);
}

/// What is no expression, names no zone, or never comes is refused with a hint.
#[test]
fn refuses_what_can_never_run() {
    for (expression, zone) in
        [("every day", "UTC"), ("* * *", "UTC"), ("0 0 30 2 *", "UTC"), ("@daily", "Mars/Olympus")]
    {
        let error = Schedule::parse(expression, zone).expect_err(expression);
        assert_eq!(error.exit_code(), 2, "{expression}");
        assert!(error.hint().is_some());
    }
}

/// 02:30 does not exist on the last Sunday of March in Berlin: it runs at 03:00 (01:00 UTC), once.
#[test]
fn a_skipped_time_runs_after_the_gap() {
    assert_eq!(
        runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    );
}

/// Midnight does not exist in Sao Paulo on 2018-11-04: the daily run comes at 01:00, that day.
#[test]
fn a_skipped_midnight_still_runs_that_day() {
    assert_eq!(
        runs("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 1),
        ["2018-11-04T03:00:00Z"]
    );
}

/// 02:30 comes twice on the last Sunday of October in Berlin: the first counts, the second does not.
#[test]
fn a_repeated_time_runs_once() {
    assert_eq!(
        runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
}

/// Every half hour stays every half hour of real time through the repeated hour.
#[test]
fn a_wildcard_runs_evenly_through_the_repeated_hour() {
    let seen = runs("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 6);
    let expected = ["00:00", "00:30", "01:00", "01:30", "02:00", "02:30"];
    let expected: Vec<_> = expected.iter().map(|time| format!("2026-10-25T{time}:00Z")).collect();
    assert_eq!(seen, expected);
}

/// However many runs were missed, there is one catch-up, and none when the last success is recent enough.
#[test]
fn missed_runs_are_caught_up_once() {
    let schedule = Schedule::parse("0 * * * *", "UTC").expect("hourly");
    let none = Jitter::stable(Duration::ZERO, "");
    let now = at("2026-11-21T08:58:57Z");
    let due = |last: Option<&str>| next_due(&schedule, none, last.map(at), now).expect("due");
    assert_eq!(
        due(Some("2026-11-20T01:00:03Z")),
        Due::CatchUp { missed_at: at("2026-11-20T02:00:00Z") }
    );
    assert_eq!(due(Some("2026-11-21T08:00:01Z")), Due::At(at("2026-11-21T09:00:00Z")));
    assert_eq!(due(None), Due::First);
    // The clock was set back: the last success lies in the future and says nothing.
    assert_eq!(due(Some("2027-01-01T00:00:00Z")), Due::At(at("2026-11-21T09:00:00Z")));
}

/// Jitter is the same for the same agent, below its maximum, and not the same for all.
#[test]
fn jitter_is_stable_and_bounded() {
    let max = Duration::from_secs(60);
    let delays: Vec<_> =
        (0..20).map(|i| Jitter::stable(max, &format!("host-{i}")).delay()).collect();
    assert!(delays.iter().all(|delay| *delay < max));
    assert_eq!(delays[3], Jitter::stable(max, "host-3").delay());
    assert!(delays.iter().any(|delay| *delay != delays[0]));
}

proptest! {
    /// The next run is always ahead, and asking from just before it gives the same run.
    #[test]
    fn next_run_is_ahead_and_stable(
        seconds in 1_400_000_000i64..2_000_000_000,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe"]),
        expression in prop::sample::select(vec!["*/5 * * * *", "30 2 * * *", "0 0 * * *", "15 1,2,3 * * *", "@weekly"]),
    ) {
        let schedule = Schedule::parse(expression, zone).expect("an expression");
        let now = Timestamp::from_second(seconds).expect("in range");
        let next = schedule.next_after(now).expect("a next run");
        prop_assert!(next > now);
        let just_before = next - SignedDuration::from_secs(1);
        if just_before >= now {
            prop_assert_eq!(schedule.next_after(just_before).expect("a next run"), next);
        }
    }
}
