//! Builds the fuzzers with coverage counters, which the stable compiler can, and runs each for a while.
//!
//! The counters come from LLVM's own pass (`-Cpasses=sancov-module`), the search from libFuzzer: neither needs a nightly
//! toolchain nor `RUSTC_BOOTSTRAP`. Address checks would; the code that is fuzzed forbids `unsafe`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::repo;

/// One fuzzer each, and the longest input that is worth trying, in bytes.
const TARGETS: [(&str, u32); 4] =
    [("bbolt", 64 << 10), ("wal", 16 << 10), ("snap", 16 << 10), ("trailer", 48 << 10)];
/// A run that takes more memory than this has found something, in MiB.
const MEMORY_MAX: u32 = 512;
/// An input that takes longer than this has found something, in seconds; tests share their machine.
const INPUT_TIME_MAX: u32 = 20;
const COUNTERS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

#[derive(clap::Args)]
pub struct Options {
    /// How long each fuzzer runs
    #[arg(long, default_value_t = 60)]
    pub seconds: u32,
    /// Only this fuzzer
    #[arg(long)]
    pub target: Option<String>,
    /// Keep inputs that reach new code here, and begin with those of earlier runs
    #[arg(long)]
    pub corpus: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let wanted = |name: &str| options.target.as_deref().is_none_or(|target| target == name);
    let targets: Vec<_> = TARGETS.iter().filter(|(name, _)| wanted(name)).collect();
    if targets.is_empty() {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        bail!("no such fuzzer. Choose one of {names}.");
    }
    let folder = repo::root().join("fuzz");
    let programs = build(&folder)?;
    let mut found = Vec::new();
    for (name, longest) in targets {
        println!("fuzz: {name} for {} s", options.seconds);
        let kept = match &options.corpus {
            Some(corpus) => corpus.join(name),
            None => repo::target_dir().join("fuzz-corpus").join(name),
        };
        let artifacts = repo::target_dir().join("fuzz-found").join(name);
        for folder in [&kept, &artifacts] {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let mut fuzzer = Command::new(programs.join(name));
        fuzzer
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-max_len={longest}"))
            .arg(format!("-rss_limit_mb={MEMORY_MAX}"))
            .arg(format!("-timeout={INPUT_TIME_MAX}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .args([&kept, &folder.join("corpus").join(name)]);
        if repo::run(&mut fuzzer).is_err() && !was_starved(&programs.join(name), &artifacts)? {
            found.push(format!("{name}: see {}", artifacts.display()));
        }
    }
    if !found.is_empty() {
        bail!("an input that breaks a reader was found. {}", found.join("; "));
    }
    Ok(())
}

/// Whether a run ended only because the machine gave it no time: the inputs that were too slow are not when they run alone.
/// They are deleted then. Any other finding stands.
fn was_starved(fuzzer: &Path, artifacts: &Path) -> Result<bool> {
    let mut slow = Vec::new();
    for entry in std::fs::read_dir(artifacts)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("timeout-") && !name.starts_with("slow-unit-") {
            return Ok(false);
        }
        slow.push(path);
    }
    for path in &slow {
        let mut alone = Command::new(fuzzer);
        alone.arg(format!("-timeout={INPUT_TIME_MAX}")).arg(path);
        if repo::run(&mut alone).is_err() {
            return Ok(false);
        }
    }
    for path in &slow {
        println!("fuzz: {} takes no time when it runs alone: the machine was busy", path.display());
        std::fs::remove_file(path)?;
    }
    Ok(!slow.is_empty())
}

/// The folder with the programs.
fn build(folder: &Path) -> Result<PathBuf> {
    let target_dir = repo::target_dir().join("fuzz");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = repo::cargo();
    build.current_dir(folder).env("CARGO_TARGET_DIR", &target_dir).env("RUSTFLAGS", COUNTERS);
    // With a target named, build scripts and macros are compiled without counters.
    repo::run(build.args(["build", "--release", "--locked", "--target", &triple]))?;
    Ok(target_dir.join(triple).join("release"))
}
