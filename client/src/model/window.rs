//! The rate of a counter over the last few seconds: long enough to be calm, short enough to be true.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Readings of one counter over the last while.
#[derive(Debug, Default)]
pub struct RateWindow {
    readings: VecDeque<(Instant, f64)>,
}

impl RateWindow {
    /// Adds a reading; a counter that went back (a restart) starts the window anew.
    pub fn push(&mut self, at: Instant, count: f64, keep: Duration) {
        if self.readings.back().is_some_and(|(_, last)| count < *last) {
            self.readings.clear();
        }
        self.readings.push_back((at, count));
        while self.readings.len() > 2 && at.saturating_duration_since(self.readings[1].0) >= keep {
            self.readings.pop_front();
        }
    }

    /// Counted per second.
    ///
    /// # Errors
    /// The reason why it is not known, a lower-case fragment.
    pub fn per_second(&self) -> Result<f64, String> {
        let (Some((from, first)), Some((to, last))) = (self.readings.front(), self.readings.back())
        else {
            return Err("not reported".into());
        };
        let seconds = to.saturating_duration_since(*from).as_secs_f64();
        if seconds <= 0.0 {
            return Err("measuring, needs two readings".into());
        }
        Ok((last - first) / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(5);

    /// One reading is no rate; two are.
    #[test]
    fn rate_needs_two_readings() {
        let mut window = RateWindow::default();
        let start = Instant::now();
        assert!(window.per_second().is_err());
        window.push(start, 100.0, KEEP);
        assert!(window.per_second().is_err());
        window.push(start + Duration::from_secs(2), 300.0, KEEP);
        assert_eq!(window.per_second(), Ok(100.0));
    }

    /// A restarted member never shows a negative rate.
    #[test]
    fn counter_reset_begins_anew() {
        let mut window = RateWindow::default();
        let start = Instant::now();
        window.push(start, 100.0, KEEP);
        window.push(start + Duration::from_secs(1), 5.0, KEEP);
        assert!(window.per_second().is_err());
    }
}
