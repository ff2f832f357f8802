//! What a process has used, as Linux counts it in `/proc`.

use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time so far and the largest resident memory so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// Largest resident memory so far, in bytes.
    pub peak_rss_bytes: u64,
}

impl Usage {
    /// Of one process, all its threads, ended ones too.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("{path}: has the process ended?"))
        };
        let cpu = cpu(&read("stat")?, rustix::param::clock_ticks_per_second());
        let peak = peak_rss_bytes(&read("status")?);
        Ok(Self {
            cpu: cpu.context("/proc/PID/stat has no CPU times")?,
            peak_rss_bytes: peak.context("/proc/PID/status has no VmHWM")?,
        })
    }
}

impl Add for Usage {
    type Output = Self;

    /// Of two processes together.
    fn add(self, other: Self) -> Self {
        let peak_rss_bytes = self.peak_rss_bytes + other.peak_rss_bytes;
        Self { cpu: self.cpu + other.cpu, peak_rss_bytes }
    }
}

impl Sub for Usage {
    type Output = Duration;

    /// The CPU time between an earlier look and this one.
    fn sub(self, earlier: Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }
}

/// User and system time; the fields are counted from behind the name, which may hold blanks.
fn cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let behind_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs(user + system) / u32::try_from(ticks_per_second).ok()?)
}

fn peak_rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are read behind a name with blanks and brackets in it.
    #[test]
    fn proc_is_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4 1 0 0 0 150 50 0 0 20 0 9 0 100 200 300";
        assert_eq!(cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(peak_rss_bytes("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2 << 20));
        assert!(Usage::of(std::process::id()).unwrap().peak_rss_bytes > 0);
    }
}
