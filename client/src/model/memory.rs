//! What is remembered of each endpoint between rounds: the last good answer to each question, and the failures since.

use std::time::{Duration, Instant};

use super::observation::{
    Answer, MemberListAnswer, Observation, ProbeError, Question, StatusAnswer,
};
use super::{HistogramWindow, RateWindow, Scrape, Value};

/// Percentiles cover the last minute: an idle member still has a few fsyncs in it.
const PERCENTILE_WINDOW: Duration = Duration::from_secs(60);

/// Rates cover the last five seconds: calm to look at, still quick to follow a change.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The history of one question to one endpoint.
#[derive(Debug)]
pub(super) struct Part<T> {
    good: Option<(Instant, T)>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    since: Instant,
    error: ProbeError,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { good: None, failure: None }
    }
}

impl<T> Part<T> {
    fn note(&mut self, at: Instant, result: Result<T, ProbeError>) {
        match result {
            Ok(answer) => {
                self.good = Some((at, answer));
                self.failure = None;
            }
            Err(error) => {
                let since = self.failure.as_ref().map_or(at, |failure| failure.since);
                self.failure = Some(Failure { since, error });
            }
        }
    }

    /// The last good answer: fresh unless an attempt failed since or none was answered for too long.
    pub(super) fn value(&self, moment: Moment) -> Value<&T> {
        match (&self.good, &self.failure) {
            (Some((at, answer)), failure) => {
                let age = moment.now.saturating_duration_since(*at);
                if failure.is_none() && age <= moment.fresh_for {
                    Value::Known(answer)
                } else {
                    Value::Stale { value: answer, age }
                }
            }
            (None, Some(failure)) => Value::unknown(&failure.error.reason),
            (None, None) => Value::unknown("no answer yet"),
        }
    }

    /// The newest failure, if nothing succeeded since, and how long that has lasted.
    pub(super) fn failure(&self, now: Instant) -> Option<(&ProbeError, Duration)> {
        self.failure
            .as_ref()
            .map(|failure| (&failure.error, now.saturating_duration_since(failure.since)))
    }

    /// Whether no attempt ever succeeded.
    pub(super) fn never_answered(&self) -> bool {
        self.good.is_none()
    }

    /// Whether it was ever answered or failed.
    pub(super) fn was_asked(&self) -> bool {
        self.good.is_some() || self.failure.is_some()
    }
}

/// The present, and how old an answer may be to count as fresh.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub now: Instant,
    pub fresh_for: Duration,
}

/// Everything remembered of one endpoint.
#[derive(Debug, Default)]
pub(super) struct EndpointMemory {
    /// The URL.
    pub endpoint: String,
    /// Whether the operator named it; otherwise it comes from the member list.
    pub is_configured: bool,
    pub status: Part<(StatusAnswer, Duration)>,
    pub members: Part<MemberListAnswer>,
    pub metrics: Part<Scrape>,
    pub read: Part<Duration>,
    pub fsync: HistogramWindow,
    pub commit: HistogramWindow,
    pub puts: RateWindow,
    pub revisions: RateWindow,
}

impl EndpointMemory {
    /// An endpoint that has not been asked anything.
    pub(super) fn new(endpoint: &str, is_configured: bool) -> Self {
        Self { endpoint: endpoint.to_owned(), is_configured, ..Self::default() }
    }

    /// Takes in one observation of this endpoint.
    pub(super) fn note(&mut self, observation: Observation) {
        let Observation { at, question, result, .. } = observation;
        match (question, result) {
            (_, Ok(Answer::Status(answer, took))) => self.note_status(at, answer, took),
            (_, Ok(Answer::Members(answer))) => self.members.note(at, Ok(answer)),
            (_, Ok(Answer::Metrics(scrape))) => self.note_scrape(at, scrape),
            (_, Ok(Answer::Read(took))) => self.read.note(at, Ok(took)),
            (Question::Status, Err(error)) => self.status.note(at, Err(error)),
            (Question::Members, Err(error)) => self.members.note(at, Err(error)),
            (Question::Metrics, Err(error)) => self.metrics.note(at, Err(error)),
            (Question::Read, Err(error)) => self.read.note(at, Err(error)),
        }
    }

    fn note_status(&mut self, at: Instant, answer: StatusAnswer, took: Duration) {
        if let Some((_, (before, _))) = &self.status.good
            && before.member_id != answer.member_id
        {
            // Another member answers at this URL now; its predecessor's counters mean nothing.
            *self = Self::new(&self.endpoint, self.is_configured);
        }
        self.revisions.push(at, answer.revision as f64, RATE_WINDOW);
        self.status.note(at, Ok((answer, took)));
    }

    fn note_scrape(&mut self, at: Instant, scrape: Scrape) {
        if let Some(fsync) = &scrape.fsync {
            self.fsync.push(at, fsync.clone(), PERCENTILE_WINDOW);
        }
        if let Some(commit) = &scrape.commit {
            self.commit.push(at, commit.clone(), PERCENTILE_WINDOW);
        }
        if let Some(puts) = scrape.puts {
            self.puts.push(at, puts, RATE_WINDOW);
        }
        self.metrics.note(at, Ok(scrape));
    }

    /// The member that answered here last.
    pub(super) fn last_status(&self) -> Option<&StatusAnswer> {
        self.status.good.as_ref().map(|(_, (answer, _))| answer)
    }

    /// The member list given here last.
    pub(super) fn last_members(&self) -> Option<&MemberListAnswer> {
        self.members.good.as_ref().map(|(_, answer)| answer)
    }
}
