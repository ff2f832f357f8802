//! Figures of all rounds, their medians, and the table in which the servers stand side by side.

use std::fmt::Write as _;

use serde::Serialize;

use super::case::{Case, Work};
use super::drive::Sample;

/// Who was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    Quorate,
    Etcd,
    /// The echo server.
    Floor,
}

/// One case of one server in one round.
#[derive(Clone, Serialize)]
pub struct Record {
    pub members: usize,
    #[serde(serialize_with = "by_display")]
    pub case: Case,
    pub subject: Subject,
    pub round: usize,
    pub per_second: f64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub server_cpu_us: f64,
    pub errors: u64,
}

fn by_display<S: serde::Serializer>(case: &Case, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(case)
}

impl Record {
    pub fn new(
        members: usize,
        case: Case,
        subject: Subject,
        round: usize,
        sample: &Sample,
    ) -> Self {
        // Counts of a benchmark stay far below 2^52.
        let operations = sample.operations as f64;
        Self {
            members,
            case,
            subject,
            round,
            per_second: operations / sample.elapsed.as_secs_f64(),
            p50_us: sample.latencies.percentile(0.5),
            p99_us: sample.latencies.percentile(0.99),
            server_cpu_us: sample.server_cpu.as_secs_f64() * 1e6 / operations,
            errors: sample.errors,
        }
    }
}

/// The largest resident memory of all members over one round.
#[derive(Clone, Serialize)]
pub struct Memory {
    pub members: usize,
    pub subject: Subject,
    pub round: usize,
    pub peak_rss_bytes: u64,
}

#[derive(Default, Serialize)]
pub struct Report {
    pub records: Vec<Record>,
    pub memory: Vec<Memory>,
}

/// Medians over the rounds.
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    errors: u64,
}

impl Report {
    fn figures(&self, members: usize, case: Case, subject: Subject) -> Option<Figures> {
        // The echo server is one process, whatever the size of the clusters beside it.
        let is_size = |r: &Record| r.members == members || subject == Subject::Floor;
        let is_it = |r: &&Record| r.case == case && r.subject == subject && is_size(r);
        let records: Vec<&Record> = self.records.iter().filter(is_it).collect();
        let of = |field: fn(&Record) -> f64| median(records.iter().map(|r| field(r)).collect());
        Some(Figures {
            rate: of(|r| r.per_second)?,
            p50: of(|r| r.p50_us as f64)?,
            p99: of(|r| r.p99_us as f64)?,
            cpu: of(|r| r.server_cpu_us)?,
            errors: records.iter().map(|r| r.errors).sum(),
        })
    }

    /// The table of one cluster size.
    pub fn table(&self, members: usize, cases: &[Case]) -> String {
        let plural = if members == 1 { "" } else { "s" };
        let mut out = format!(
            "\n{members} member{plural}: medians; times in ms, CPU in µs per operation of all members\n"
        );
        let heads = ["rate/s", "p50", "p99", "CPU"];
        let heads: Vec<String> = heads.iter().map(|head| format!("{head:>9}")).collect();
        let heads = heads.concat();
        let _ = writeln!(
            out,
            "{:<24}| Quorate {heads:>31} | etcd 3.7.1 {:>25} | ×rate  ×p50  ×CPU | floor CPU",
            "",
            heads.trim_start()
        );
        for &case in cases {
            let of = |subject| self.figures(members, case, subject);
            let (ours, theirs, floor) =
                (of(Subject::Quorate), of(Subject::Etcd), of(Subject::Floor));
            let floor = floor.map_or_else(|| "-".to_owned(), |f| format!("{:.1}", f.cpu));
            let line = format!(
                "{case:<24}| {} | {} | {} | {floor:>9}",
                columns(ours.as_ref()),
                columns(theirs.as_ref()),
                ratios(ours.as_ref(), theirs.as_ref()),
            );
            let _ = writeln!(out, "{line}");
        }
        for subject in [Subject::Quorate, Subject::Etcd] {
            let of_it = self.memory.iter().filter(|m| m.members == members && m.subject == subject);
            if let Some(peak) = median(of_it.map(|m| m.peak_rss_bytes as f64).collect()) {
                let _ = writeln!(out, "peak memory of {subject:?}: {:.0} MB", peak / 1e6);
            }
        }
        out
    }
}

/// A first goal: what a figure of ours may be, as a share of etcd's.
struct Goal {
    says: &'static str,
    case: Case,
    share: fn(&Figures, &Figures) -> f64,
    is_met: fn(f64) -> bool,
}

const fn case(work: Work, clients: usize) -> Case {
    Case { work, clients }
}

const GOALS: [Goal; 4] = [
    Goal {
        says: "puts per second with 1,000 clients ≥ 1.5 × etcd's",
        case: case(Work::Put, 1000),
        share: |ours, theirs| ours.rate / theirs.rate,
        is_met: |share| share >= 1.5,
    },
    Goal {
        says: "server CPU per put ≤ 0.5 × etcd's",
        case: case(Work::Put, 1000),
        share: |ours, theirs| ours.cpu / theirs.cpu,
        is_met: |share| share <= 0.5,
    },
    Goal {
        says: "p50 of a put with one client ≤ 0.7 × etcd's",
        case: case(Work::Put, 1),
        share: |ours, theirs| ours.p50 / theirs.p50,
        is_met: |share| share <= 0.7,
    },
    Goal {
        says: "server CPU per linearizable get ≤ 0.6 × etcd's",
        case: case(Work::Get, 1000),
        share: |ours, theirs| ours.cpu / theirs.cpu,
        is_met: |share| share <= 0.6,
    },
];

impl Report {
    /// How the first goals stand on one cluster size; nothing of those that were not measured.
    pub fn goals(&self, members: usize) -> String {
        let mut out = String::new();
        for goal in &GOALS {
            let of = |subject| self.figures(members, goal.case, subject);
            if let (Some(ours), Some(theirs)) = (of(Subject::Quorate), of(Subject::Etcd)) {
                let share = (goal.share)(&ours, &theirs);
                let word = if (goal.is_met)(share) { "met" } else { "MISSED" };
                let _ = writeln!(out, "goal: {}: {share:.2}, {word}", goal.says);
            }
        }
        out
    }
}

fn columns(figures: Option<&Figures>) -> String {
    figures.map_or_else(
        || format!("{:>39}", "-"),
        |f| {
            let errors = if f.errors == 0 { String::new() } else { format!("!{}", f.errors) };
            let (p50, p99) = (f.p50 / 1e3, f.p99 / 1e3);
            format!("{:>9.0}{p50:>9.2}{p99:>9.1}{:>9.1}{errors:>3}", f.rate, f.cpu)
        },
    )
}

fn ratios(ours: Option<&Figures>, theirs: Option<&Figures>) -> String {
    match (ours, theirs) {
        (Some(a), Some(b)) => {
            format!("{:>5.2} {:>5.2} {:>5.2}", a.rate / b.rate, a.p50 / b.p50, a.cpu / b.cpu)
        }
        _ => format!("{:>17}", "-"),
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) =
        (values.get(values.len().wrapping_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The median of an even number is between its two middles; of none there is none.
    #[test]
    fn medians_are_right() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
