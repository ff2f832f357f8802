//! What a round does to the cluster, drawn from a seed that can be given again.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use testbed::Cluster;

const READY_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(10);

/// One kind of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and started again a little later.
    Kill,
    /// kill -9 of all members at once.
    KillAll,
    /// SIGSTOP, and SIGCONT a little later.
    Pause,
    /// SIGTERM, and started again.
    Stop,
}

/// A fault, whom it hits and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Harm {
    pub fault: Fault,
    pub victim: usize,
    pub lasts: Duration,
}

impl fmt::Display for Harm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.victim + 1;
        match self.fault {
            Fault::Kill => write!(formatter, "kill -9 of m{n}"),
            Fault::KillAll => formatter.write_str("kill -9 of all members"),
            Fault::Pause => write!(formatter, "pause of m{n} for {:.1?}", self.lasts),
            Fault::Stop => write!(formatter, "SIGTERM to m{n}"),
        }
    }
}

impl Harm {
    /// The harm of one round: most often a kill, since that is what loses data.
    pub fn draw(seed: u64, round: u64, members: usize) -> Self {
        let mut random = Random(seed ^ round.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let fault = match random.below(10) {
            0..6 => Fault::Kill,
            6 => Fault::KillAll,
            7 => Fault::Stop,
            _ => Fault::Pause,
        };
        let victim = usize::try_from(random.below(members as u64)).unwrap_or(0);
        Self { fault, victim, lasts: Duration::from_millis(100 + random.below(2_000)) }
    }

    /// Does it, and heals it: every member takes requests again when this returns.
    pub fn inflict(self, cluster: &mut Cluster) -> Result<()> {
        let is_hit = |n: &usize| *n == self.victim || self.fault == Fault::KillAll;
        let victims: Vec<usize> = (0..cluster.members.len()).filter(is_hit).collect();
        for &n in &victims {
            let process = &mut cluster.members[n].process;
            match self.fault {
                Fault::Kill | Fault::KillAll => process.kill()?,
                Fault::Stop => drop(process.stop(STOP_MAX)?),
                Fault::Pause => process.signal(Signal::STOP)?,
            }
        }
        std::thread::sleep(self.lasts);
        for &n in &victims {
            let process = &mut cluster.members[n].process;
            match self.fault {
                Fault::Pause => process.signal(Signal::CONT)?,
                Fault::Kill | Fault::KillAll | Fault::Stop => process.start()?,
            }
        }
        if self.fault != Fault::Pause {
            for n in victims {
                cluster.members[n].process.wait_ready(READY_MAX)?;
            }
        }
        Ok(())
    }
}

/// splitmix64: enough to choose, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same seed and round give the same harm; every kind comes up; victims are members.
    #[test]
    fn harm_is_drawn_from_the_seed() {
        let harms: Vec<Harm> = (0..200).map(|round| Harm::draw(7, round, 3)).collect();
        assert_eq!(harms[5], Harm::draw(7, 5, 3));
        for fault in [Fault::Kill, Fault::KillAll, Fault::Pause, Fault::Stop] {
            assert!(harms.iter().any(|harm| harm.fault == fault));
        }
        assert!((0..3).all(|n| harms.iter().any(|harm| harm.victim == n)));
        assert!(harms.iter().all(|harm| harm.victim < 3));
    }
}
