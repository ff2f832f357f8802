//! The last few minutes of the figures that tell load and slowness, one sample per round.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_client::model::{ClusterSnapshot, MemberSnapshot, Value};

/// Samples kept: wider than any terminal.
const SAMPLES_MAX: usize = 400;

/// The figures of one round; what was not known leaves a gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Puts per second, or revisions where the puts are not known.
    pub writes: Option<f64>,
    /// The slowest member's linearizable read, in seconds.
    pub read: Option<f64>,
    /// The slowest member's fsync p99, in seconds.
    pub fsync: Option<f64>,
}

/// The samples, the newest last.
#[derive(Debug, Default)]
pub struct Trend {
    samples: VecDeque<Sample>,
    round: u64,
}

impl Trend {
    /// Takes the figures of a new round; a better picture of the same round replaces the one before.
    pub(super) fn note(&mut self, cluster: &ClusterSnapshot) {
        let slowest = |figure: fn(&MemberSnapshot) -> &Value<Duration>| {
            let known = cluster.members.iter().filter_map(|member| figure(member).known());
            known.max().map(Duration::as_secs_f64)
        };
        let sample = Sample {
            writes: cluster
                .puts_per_second
                .known()
                .or(cluster.revisions_per_second.known())
                .copied(),
            read: slowest(|member| &member.linearizable_read),
            fsync: slowest(|member| &member.fsync_p99),
        };
        if cluster.round == self.round {
            self.samples.pop_back();
        }
        self.round = cluster.round;
        self.samples.push_back(sample);
        while self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// The newest `n_samples` of one figure, oldest first.
    pub fn last(
        &self,
        n_samples: usize,
        figure: impl Fn(&Sample) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        let skipped = self.samples.len().saturating_sub(n_samples);
        self.samples.iter().skip(skipped).map(figure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_client::model::samples;

    /// One sample per round, a gap where a figure is not known, the slowest member counts.
    #[test]
    fn one_sample_per_round() {
        let mut trend = Trend::default();
        let mut cluster = samples::healthy();
        trend.note(&cluster);
        trend.note(&cluster);
        cluster.round += 1;
        cluster.members[1].linearizable_read = Value::Known(Duration::from_millis(9));
        cluster.puts_per_second = Value::unknown("no metrics");
        cluster.revisions_per_second = Value::unknown("no leader");
        trend.note(&cluster);
        assert_eq!(trend.last(9, |sample| sample.writes), [Some(1_312.4), None]);
        assert_eq!(trend.last(1, |sample| sample.read), [Some(0.009)]);
    }
}
