//! `cargo xtask …`: the developer's commands. It stands outside the product: nothing depends on it.

#![allow(missing_docs, reason = "a program, not a library: file headers and why-comments carry it")]

mod check;
mod reference;
mod repo;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Quorate's developer commands", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formatting, clippy and the house rules, without changing a file
    Check(check::Options),
    /// Puts real etcd 3.7.1, 3.5.1 and 3.4.23 under target/reference
    Reference(reference::Options),
    /// All tests, as CI runs them
    Test(test::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Check(options) => check::run(&options),
        Command::Reference(options) => reference::run(&options),
        Command::Test(options) => test::run(&options),
    };
    // Not by `main`'s own `Result`: a backtrace would bury the one line that says what to do.
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
