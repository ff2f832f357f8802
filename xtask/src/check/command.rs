//! The command itself: runs the rules, then rustfmt and clippy, and says all that is wrong at once.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::source::{Violation, listed, rust_files, text};
use super::{confined, door, flag_page, known, layers, manifests, paper, sizes, words};
use crate::repo;

#[derive(clap::Args, Default)]
pub struct Options {
    /// Only the house rules: no rustfmt, no clippy, done in a second
    #[arg(long)]
    house: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let mut failures = Vec::new();
    let mut step = |name: &str, outcome: Result<()>, start: Instant| {
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("check: {name}: fine ({seconds:.1} s)"),
            Err(error) => {
                println!("check: {name}: {error:#}");
                failures.push(name.to_owned());
            }
        }
    };
    let start = Instant::now();
    let sifted = house_rules()?;
    for entry in &sifted.gone {
        println!("check: {}: no longer so, remove the line: {entry}", known::PATH);
    }
    step("house rules", told(&sifted.fresh), start);
    if !options.house {
        let start = Instant::now();
        step("rustfmt", repo::run(repo::cargo().args(["fmt", "--all", "--check"])), start);
        let start = Instant::now();
        let mut clippy = repo::cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
        step("clippy", repo::run(&mut clippy), start);
        let start = Instant::now();
        step("the fuzzers' lock file", fuzz_lock(), start);
    }
    if !failures.is_empty() {
        bail!("check failed: {}", failures.join(", "));
    }
    Ok(())
}

/// The fuzzers are a workspace of their own: what a crate that they test newly depends on has to be in their lock file too.
fn fuzz_lock() -> Result<()> {
    let mut metadata = repo::cargo();
    metadata.args([
        "metadata",
        "--locked",
        "--format-version=1",
        "--manifest-path=fuzz/Cargo.toml",
    ]);
    let outcome = repo::output(&mut metadata);
    outcome.context("run `cargo metadata` in fuzz/ and commit its Cargo.lock").map(drop)
}

fn told(violations: &[Violation]) -> Result<()> {
    for violation in violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        n => bail!("{n} broken (the lines above)"),
    }
}

/// All house rules over this work tree, less what is known.
pub fn house_rules() -> Result<known::Sifted> {
    let sources = rust_files()?;
    let mut crates = Vec::new();
    for path in listed("*/Cargo.toml")? {
        crates.push((path.clone(), text(&path)?));
    }
    let mut found = Vec::new();
    for rule in [layers::check, confined::check, door::check, sizes::check, words::check] {
        found.extend(rule(&sources));
    }
    found.extend(manifests::check(&crates));
    found.extend(paper::dependencies(&text("Cargo.toml")?, &text("docs/dependencies.md")?));
    found.extend(paper::invariants(&text("docs/ARCHITECTURE.md")?, &sources));
    let (flags, old) = (text(flag_page::FLAGS)?, text(flag_page::OLD_SPELLINGS)?);
    found.extend(flag_page::check(&flags, &old, &text(flag_page::PAGE)?));
    found.extend(paper::changelog(&text("CHANGELOG.md")?));
    Ok(known::sift(found, &text(known::PATH)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The house stands: `cargo test` alone holds the rules, for those who do not run `cargo xtask check`.
    #[test]
    fn this_tree_keeps_the_house_rules() {
        let found = house_rules().unwrap().fresh;
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
    }
}
