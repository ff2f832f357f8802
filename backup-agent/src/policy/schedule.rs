//! The cron schedule: what an expression means in a time zone, and whether a run is due. It reads no clock.
//!
//! Daylight saving follows `croner`: a time the clock skips runs at the first moment after the gap, a time the
//! clock repeats runs once, and a wildcard runs in real, even steps. Missed runs count as one: however many were
//! missed, [`next_due`] asks for a single catch-up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::{AgentError, Result};

/// A parsed cron expression with its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    expression: String,
    zone: TimeZone,
}

impl Schedule {
    /// Parses five fields (minute first) or six (second first), or a name such as `@daily`; days of the week are
    /// 0 or 7 for Sunday, as in Vixie cron. `zone` is an IANA name, `UTC` or `local`.
    pub fn parse(expression: &str, zone: &str) -> Result<Self> {
        let zone = match zone {
            "local" => TimeZone::system(),
            name => TimeZone::get(name).map_err(|error| {
                AgentError::configuration(
                    format!("time zone \"{name}\" is not known: {error}"),
                    "Give an IANA name such as Europe/Berlin, UTC, or local.",
                )
            })?,
        };
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| {
            AgentError::configuration(
                format!("schedule \"{expression}\" is not a cron expression: {error}"),
                "Give five fields (minute hour day month weekday), six with seconds first, \
                 or a name such as @hourly.",
            )
        })?;
        let schedule = Self { cron, expression: expression.to_owned(), zone };
        // An expression such as "0 0 30 2 *" parses, and never comes.
        schedule.next_after(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 50))?;
        Ok(schedule)
    }

    /// The first run strictly after `now`.
    pub fn next_after(&self, now: Timestamp) -> Result<Timestamp> {
        let start = now.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&start, false).map_err(|error| {
            AgentError::configuration(
                format!("schedule \"{}\" has no next run: {error}", self.expression),
                "Give an expression that names a date which exists.",
            )
        })?;
        Ok(next.timestamp())
    }

    /// The expression as it was given.
    pub fn expression(&self) -> &str {
        &self.expression
    }
}

/// A delay that is the same for every run of one agent and differs between agents, so that many agents with one
/// schedule do not all start in the same second.
#[derive(Clone, Copy, Debug)]
pub struct Jitter(Duration);

impl Jitter {
    /// Derives the delay, in `0..max`, from who asks (host, cluster, store).
    pub fn stable(max: Duration, who: &str) -> Self {
        let Ok(millis) = u64::try_from(max.as_millis()) else { return Self(max) };
        if millis == 0 {
            return Self(Duration::ZERO);
        }
        let mut hasher = DefaultHasher::new();
        who.hash(&mut hasher);
        Self(Duration::from_millis(hasher.finish() % millis))
    }

    /// The delay.
    pub fn delay(self) -> Duration {
        self.0
    }
}

/// Answer of [`next_due`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The store holds no counted backup yet: run once, now, rather than leave the cluster without one.
    First,
    /// A run was missed (the agent was down, or busy): run once, now.
    CatchUp {
        /// The newest run time that was missed at least.
        missed_at: Timestamp,
    },
    /// Nothing was missed: run then.
    At(Timestamp),
}

/// Says when to run, given the start of the last successful run, if there is one.
///
/// A history from the future (the clock was set back) says nothing: the schedule is followed from `now`.
pub fn next_due(
    schedule: &Schedule,
    jitter: Jitter,
    last_success: Option<Timestamp>,
    now: Timestamp,
) -> Result<Due> {
    let delay = jitter.delay();
    let Some(last) = last_success else { return Ok(Due::First) };
    if last <= now {
        // A run belongs to the schedule time it was delayed from, so the next one is counted from there.
        let missed_at = schedule.next_after(last)? + delay;
        if missed_at <= now {
            return Ok(Due::CatchUp { missed_at });
        }
        return Ok(Due::At(missed_at));
    }
    Ok(Due::At(schedule.next_after(now)? + delay))
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
