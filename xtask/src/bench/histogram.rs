//! Latencies in buckets that are never wider than 1/32 of their value: enough for percentiles, cheap to merge.

/// Buckets per doubling.
const PER_DOUBLING: u64 = 32;
const BUCKETS: usize = 32 * 60;

/// Counts of latencies in microseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u32>,
    n: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], n: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, micros: u64) {
        self.counts[bucket(micros)] += 1;
        self.n += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.n += other.n;
    }

    pub fn count(&self) -> u64 {
        self.n
    }

    /// The latency that `share` (0 to 1) of all did not exceed; 0 when there are none.
    pub fn percentile(&self, share: f64) -> u64 {
        // Counts of a benchmark stay far below 2^52.
        let wanted = ((self.n as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (n, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return floor(n as u64);
            }
        }
        0
    }
}

fn bucket(value: u64) -> usize {
    let doublings = u64::from(63 - (value | 1).leading_zeros()).saturating_sub(5);
    let index = doublings * PER_DOUBLING + (value >> doublings);
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The smallest value of a bucket.
fn floor(bucket: u64) -> u64 {
    if bucket < 2 * PER_DOUBLING {
        return bucket;
    }
    let doublings = bucket / PER_DOUBLING - 1;
    (bucket - doublings * PER_DOUBLING) << doublings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value lies in its bucket, and no bucket is wider than 1/32 of its value.
    #[test]
    fn buckets_are_narrow() {
        for value in (0..5_000).chain([65_535, 65_536, 1_000_000, 123_456_789]) {
            let low = floor(bucket(value) as u64);
            assert!(low <= value && value - low <= value / 32, "{value} in bucket of {low}");
        }
    }

    /// Percentiles of 1 to 1,000 are what one expects, merged or not.
    #[test]
    fn percentiles_are_right() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        (1..=500).for_each(|v| a.record(v));
        (501..=1000).for_each(|v| b.record(v));
        a.merge(&b);
        assert_eq!(a.count(), 1000);
        assert!((480..=500).contains(&a.percentile(0.5)));
        assert!((960..=990).contains(&a.percentile(0.99)));
        assert_eq!(Histogram::default().percentile(0.5), 0);
    }
}
