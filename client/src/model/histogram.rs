//! Prometheus histograms: cumulative buckets, the difference of two readings, and a quantile of it.
//!
//! The quantile follows Prometheus' `histogram_quantile`: linear inside a bucket, and the highest finite bound for
//! what lies above it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One reading of a histogram: (upper bound, cumulative count), bounds ascending, the last infinite.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    buckets: Vec<(f64, f64)>,
}

impl Histogram {
    /// Takes buckets in any order.
    pub fn new(mut buckets: Vec<(f64, f64)>) -> Self {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { buckets }
    }

    /// What was counted between `earlier` and this reading; `None` when the counter was reset or the buckets differ.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.buckets.len() != earlier.buckets.len() {
            return None;
        }
        let mut buckets = Vec::with_capacity(self.buckets.len());
        for ((bound, now), (old_bound, before)) in self.buckets.iter().zip(&earlier.buckets) {
            if bound != old_bound || now < before {
                return None;
            }
            buckets.push((*bound, now - before));
        }
        Some(Self { buckets })
    }

    /// Number of observations.
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// The quantile `q` (0 to 1); `None` without observations.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.count();
        if total <= 0.0 {
            return None;
        }
        let rank = q * total;
        let at = self.buckets.iter().position(|(_, count)| *count >= rank)?;
        let (bound, count) = self.buckets[at];
        let (lower, below) = if at == 0 { (0.0, 0.0) } else { self.buckets[at - 1] };
        if bound.is_infinite() {
            return Some(lower);
        }
        let inside = count - below;
        let share = if inside > 0.0 { (rank - below) / inside } else { 1.0 };
        Some(lower + (bound - lower) * share)
    }
}

/// The readings of one histogram over the last while.
#[derive(Debug, Default)]
pub struct HistogramWindow {
    readings: VecDeque<(Instant, Histogram)>,
}

impl HistogramWindow {
    /// Adds a reading and forgets those older than `keep`, except the newest of the old ones, so that the
    /// window spans `keep` in full. A counter that went back (a restart) starts the window anew.
    pub fn push(&mut self, at: Instant, reading: Histogram, keep: Duration) {
        if let Some((_, last)) = self.readings.back()
            && reading.since(last).is_none()
        {
            self.readings.clear();
        }
        self.readings.push_back((at, reading));
        while self.readings.len() > 2 && at.saturating_duration_since(self.readings[1].0) >= keep {
            self.readings.pop_front();
        }
    }

    /// The quantile over the window.
    ///
    /// # Errors
    /// The reason why there is none, a lower-case fragment.
    pub fn quantile(&self, q: f64) -> Result<Duration, String> {
        let (Some((_, first)), Some((_, last))) = (self.readings.front(), self.readings.back())
        else {
            return Err("not in the member's metrics".into());
        };
        if self.readings.len() < 2 {
            return Err("measuring, needs two readings".into());
        }
        let delta = last.since(first).ok_or("the counter was reset")?;
        let seconds = delta.quantile(q).ok_or("nothing counted in the last minute")?;
        Duration::try_from_secs_f64(seconds).map_err(|_| "not a duration".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(counts: [f64; 4]) -> Histogram {
        let bounds = [0.001, 0.002, 0.004, f64::INFINITY];
        Histogram::new(bounds.into_iter().zip(counts).collect())
    }

    /// The quantile lies inside the bucket that holds the rank, linearly.
    #[test]
    fn quantile_interpolates_inside_the_bucket() {
        let histogram = reading([0.0, 100.0, 100.0, 100.0]);
        let p50 = histogram.quantile(0.5).unwrap();
        assert!((p50 - 0.0015).abs() < 1e-9, "{p50}");
    }

    /// Above the highest bound nothing is known but that bound.
    #[test]
    fn quantile_above_the_last_bound_is_that_bound() {
        assert_eq!(reading([0.0, 0.0, 0.0, 9.0]).quantile(0.99), Some(0.004));
    }

    /// An idle member has no percentile, which is not the same as 0.
    #[test]
    fn no_observations_no_quantile() {
        let mut window = HistogramWindow::default();
        let start = Instant::now();
        for second in 0..2 {
            let at = start + Duration::from_secs(second);
            window.push(at, reading([1.0, 1.0, 1.0, 1.0]), Duration::from_secs(60));
        }
        assert!(window.quantile(0.99).is_err());
    }

    /// Only what was counted inside the window matters: an old slow disk does not haunt the figure.
    #[test]
    fn window_forgets_what_is_older() {
        let mut window = HistogramWindow::default();
        let start = Instant::now();
        let keep = Duration::from_secs(10);
        window.push(start, reading([0.0, 0.0, 0.0, 0.0]), keep);
        window.push(start + Duration::from_secs(5), reading([0.0, 0.0, 50.0, 50.0]), keep);
        window.push(start + Duration::from_secs(20), reading([10.0, 10.0, 60.0, 60.0]), keep);
        let p99 = window.quantile(0.99).unwrap();
        assert!(p99 <= Duration::from_millis(1), "{p99:?}");
    }

    /// A restarted member begins a new window instead of giving a negative delta.
    #[test]
    fn restart_begins_anew() {
        let mut window = HistogramWindow::default();
        let start = Instant::now();
        window.push(start, reading([5.0, 5.0, 5.0, 5.0]), Duration::from_secs(60));
        window.push(start, reading([1.0, 1.0, 1.0, 1.0]), Duration::from_secs(60));
        assert_eq!(window.quantile(0.99), Err("measuring, needs two readings".into()));
    }
}
