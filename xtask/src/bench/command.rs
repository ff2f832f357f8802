//! The command itself: builds what is measured, runs the servers in turn, and prints the report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::case::{Case, Work};
use super::drive::{Sample, drive, preload};
use super::fanout::fan_out;
use super::operation::leader_first;
use super::report::{Memory, Record, Report, Subject};
use crate::{reference, repo};
use testbed::{Cluster, Plan, Process, Usage, free_ports};

/// Room for a long run's leases and revisions, for both alike.
const QUOTA_FLAG: &str = "--quota-backend-bytes=8589934592";

#[derive(clap::Args)]
pub struct Options {
    /// Cluster sizes
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    members: Vec<usize>,
    /// Only these kinds of work (default: all)
    #[arg(long, value_delimiter = ',')]
    only: Vec<Work>,
    /// Numbers of clients in place of each kind's own
    #[arg(long, value_delimiter = ',')]
    clients: Vec<usize>,
    /// Seconds counted per case and round
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Alternating rounds; figures are medians over them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print every record as JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Measure real etcd and the floor alone
    #[arg(long)]
    skip_quorate: bool,
    /// Measure Quorate and the floor alone
    #[arg(long)]
    skip_etcd: bool,
    /// Another server program in Quorate's place; nothing is built for it
    #[arg(long)]
    server: Option<PathBuf>,
    /// A flag for Quorate's server alone, for example `--server-flag=--storage-engine=sled`
    #[arg(long = "server-flag")]
    server_flags: Vec<String>,
    /// This program is already the optimised one
    #[arg(long, hide = true)]
    built: bool,
}

/// Builds itself and the server optimised and hands over to that build: an unoptimised client would be the bottleneck.
pub fn run(options: &Options) -> Result<()> {
    if options.built {
        return measure(options);
    }
    eprintln!("bench: building with the release profile; the first time this takes minutes");
    let mut build = repo::cargo();
    build.args(["build", "--release", "--locked", "--package", "xtask"]);
    if options.server.is_none() && !options.skip_quorate {
        build.args(["--package", "quorate-server"]);
    }
    repo::run(&mut build)?;
    let words: Vec<_> = std::env::args_os().skip(1).chain(["--built".into()]).collect();
    let mut optimised = std::process::Command::new(repo::target_dir().join("release/xtask"));
    repo::run(optimised.args(words).current_dir(repo::root()))
}

fn measure(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cases = Case::all(&options.only, &options.clients);
    let subjects = subjects(options)?;
    let mut report = Report::default();
    for &members in &options.members {
        for round in 1..=options.rounds {
            // The order turns, so that neither always has the machine as the other left it.
            let mut order: Vec<&(Subject, PathBuf)> = subjects.iter().collect();
            if round % 2 == 0 {
                order.reverse();
            }
            for (subject, program) in order {
                let bench = Bench { options, members, round, subject: *subject, cases: &cases };
                runtime.block_on(bench.run(program, &mut report))?;
            }
            if Some(&members) == options.members.first() {
                let bench =
                    Bench { options, members, round, subject: Subject::Floor, cases: &cases };
                runtime.block_on(bench.run_floor(&mut report))?;
            }
        }
        if !options.json {
            print!("{}{}", report.table(members, &cases), report.goals(members));
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}

fn subjects(options: &Options) -> Result<Vec<(Subject, PathBuf)>> {
    let mut subjects = Vec::new();
    if !options.skip_quorate {
        let built = || repo::target_dir().join("release/quorate-server");
        subjects.push((Subject::Quorate, options.server.clone().unwrap_or_else(built)));
    }
    if !options.skip_etcd {
        let folder = reference::ensure(reference::Version::V3_7_1, false)?;
        subjects.push((Subject::Etcd, folder.join("etcd")));
    }
    Ok(subjects)
}

/// One server in one round.
struct Bench<'a> {
    options: &'a Options,
    members: usize,
    round: usize,
    subject: Subject,
    cases: &'a [Case],
}

impl Bench<'_> {
    async fn run(&self, program: &Path, report: &mut Report) -> Result<()> {
        let folder = tempfile::Builder::new().prefix("quorate-bench-").tempdir()?;
        let mut extra = vec![QUOTA_FLAG.to_owned()];
        if self.subject == Subject::Quorate {
            extra.extend(self.options.server_flags.iter().cloned());
        }
        let (members, folder) = (self.members, folder.path());
        let plan = Plan { program, members, folder, extra: &extra };
        let mut cluster = Cluster::start(&plan)?;
        let urls = leader_first(cluster.client_urls()).await?;
        preload(&urls).await.context("loading the keys that gets read")?;
        for &case in self.cases {
            let cpu = || Ok(cluster.usage()?.cpu);
            let sample = self.sample(&urls, case, &cpu).await?;
            self.note(report, case, &sample);
        }
        let peak_rss_bytes = cluster.usage()?.peak_rss_bytes;
        let (subject, round) = (self.subject, self.round);
        report.memory.push(Memory { members, subject, round, peak_rss_bytes });
        cluster.stop()
    }

    async fn run_floor(&self, report: &mut Report) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let port = free_ports(1)?[0];
        let url = format!("http://127.0.0.1:{port}");
        let words = ["echo-server".to_owned(), format!("--port={port}")];
        let myself = std::env::current_exe()?;
        let mut echo = Process::new("echo", folder.path(), &myself, &words);
        echo.start()?;
        echo.wait_ready(Duration::from_secs(10))?;
        for &case in self.cases.iter().filter(|case| case.has_floor()) {
            let cpu = || Ok(Usage::of(echo.pid()?)?.cpu);
            let sample = self.sample(std::slice::from_ref(&url), case, &cpu).await?;
            self.note(report, case, &sample);
        }
        echo.kill()
    }

    async fn sample(
        &self,
        urls: &[String],
        case: Case,
        cpu: &dyn Fn() -> Result<Duration>,
    ) -> Result<Sample> {
        let window = Duration::from_secs_f64(self.options.seconds);
        let sample = match case.work {
            Work::Watch => fan_out(urls, case, window, cpu).await,
            _ => drive(urls, case, window, cpu).await,
        };
        sample.with_context(|| format!("{case} on {:?}", self.subject))
    }

    fn note(&self, report: &mut Report, case: Case, sample: &Sample) {
        let record = Record::new(self.members, case, self.subject, self.round, sample);
        eprintln!(
            "bench: {} member(s), round {}, {:<8} {case:<24} {:>9.0}/s  p50 {:>8.2} ms  p99 {:>8.1} ms  CPU {:>7.1} µs",
            self.members,
            self.round,
            format!("{:?}", self.subject),
            record.per_second,
            record.p50_us as f64 / 1e3,
            record.p99_us as f64 / 1e3,
            record.server_cpu_us,
        );
        report.records.push(record);
    }
}
