//! The steps, each with its time, and one closing account. A failed step does not hide the ones after it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::needs;
use crate::{check, clients, fuzz, reference, repo};

/// Tests that start clusters run this many at a time: they are limited by two cores and one disk, not by waiting.
const CLUSTER_TESTS_AT_ONCE: &str = "2";
/// How long each fuzzer runs here; what a longer run has found is in the corpus.
const FUZZ_SECONDS: u32 = 8;
/// What the whole run may take on the two cores of CI, its cold build included; longer is told, not failed.
const RUN_WANTED: Duration = Duration::from_secs(40 * 60);

#[derive(clap::Args)]
pub struct Options {
    /// Leave out formatting, clippy and the house rules
    #[arg(long)]
    skip_check: bool,
    /// Only the tests beside the code: no clusters, no real etcd
    #[arg(long)]
    unit: bool,
    /// Only tests whose name holds this
    filter: Option<String>,
}

struct Account {
    start: Instant,
    lines: Vec<String>,
    failures: Vec<&'static str>,
}

impl Account {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) {
        println!("\ntest: == {name}");
        let start = Instant::now();
        let outcome = work();
        let word = if outcome.is_ok() { "fine" } else { "FAILED" };
        if let Err(error) = outcome {
            println!("test: {name}: {error:#}");
            self.failures.push(name);
        }
        self.lines.push(format!("{:>7.1} s  {name}: {word}", start.elapsed().as_secs_f64()));
    }
}

pub fn run(options: &Options) -> Result<()> {
    let mut account = Account { start: Instant::now(), lines: Vec::new(), failures: Vec::new() };
    if !options.unit {
        account.step("what the machine lacks", needs::install_missing);
        account.step("real etcd", || reference::run(&reference::Options::default()));
        let clients = || clients::run(&clients::Options::default());
        account.step("other people's clients", clients);
    }
    account.step("build", build);
    if !options.skip_check {
        account.step("check", || check::run(&check::Options::default()));
    }
    let filter = options.filter.as_deref();
    account.step("tests beside the code", || tests(&["--lib", "--bins"], None, filter));
    if !options.unit {
        let threads = Some(CLUSTER_TESTS_AT_ONCE);
        account.step("tests with whole programs", || tests(&["--test", "*"], threads, filter));
        if filter.is_none() {
            let short = fuzz::Options { seconds: FUZZ_SECONDS, target: None, corpus: None };
            account.step("fuzzers, for a moment", || fuzz::run(&short));
        }
    }
    close(&account)
}

/// All programs at once: a test of one program finds the others beside it.
fn build() -> Result<()> {
    repo::run(repo::cargo().args(["build", "--workspace", "--bins", "--locked"]))?;
    repo::run(repo::cargo().args(["test", "--workspace", "--no-run", "--locked", "--quiet"]))
}

fn tests(targets: &[&str], threads: Option<&str>, filter: Option<&str>) -> Result<()> {
    let mut cargo: Command = repo::cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]).args(targets).args(filter);
    cargo.env("QUORATE_REFERENCE_DIR", reference::folder()).env("QUORATE_IS_BUILT", "1");
    if let Some(threads) = threads {
        cargo.env("RUST_TEST_THREADS", threads);
    }
    repo::run(&mut cargo)
}

fn close(account: &Account) -> Result<()> {
    let all = account.start.elapsed();
    println!("\ntest: == times");
    for line in &account.lines {
        println!("{line}");
    }
    println!("{:>7.1} s  all", all.as_secs_f64());
    if all > RUN_WANTED {
        println!("test: longer than the {} minutes it is meant to take", RUN_WANTED.as_secs() / 60);
    }
    if !account.failures.is_empty() {
        bail!("failed: {}", account.failures.join(", "));
    }
    Ok(())
}
