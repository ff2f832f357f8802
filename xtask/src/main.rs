//! `cargo xtask …`: the developer's commands. It stands outside the product: nothing depends on it.

#![allow(missing_docs, reason = "a program, not a library: file headers and why-comments carry it")]

mod bench;
mod check;
mod clients;
mod demo;
mod etcd_suites;
mod fuzz;
mod package;
mod reference;
mod repo;
mod soak;
mod test;
mod witness;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

// The allocator of the server, so that the floor and the load are measured with the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Quorate's developer commands", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The same load on Quorate and on real etcd in turn, with the servers' CPU time
    Bench(bench::Options),
    /// Formatting, clippy and the house rules, without changing a file
    Check(check::Options),
    /// Makes programs with other people's client libraries, for the tests
    Clients(clients::Options),
    /// The whole product on this machine, with the dashboard; leaves nothing behind
    Demo(demo::Options),
    /// etcd's own black-box tests, from a checkout of its source, against Quorate's programs
    EtcdSuites(etcd_suites::Options),
    /// Writes docs/flags.md from the server's tables
    Flags,
    /// The coverage-guided fuzzers over the readers of etcd's files
    Fuzz(fuzz::Options),
    /// The .deb and .rpm of the server and of the tools
    Package(package::Options),
    /// Puts real etcd 3.7.1, 3.5.1 and 3.4.23 under target/reference
    Reference(reference::Options),
    /// Long crash rounds on a whole cluster under writes
    Soak(soak::Options),
    /// All tests, as CI runs them
    Test(test::Options),
    /// Answers puts and gets with a constant: the floor of the benchmark
    #[command(hide = true)]
    EchoServer(bench::EchoOptions),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Bench(options) => bench::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Clients(options) => clients::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::EtcdSuites(options) => etcd_suites::run(&options),
        Command::Flags => check::write_flag_page(),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Package(options) => package::run(&options),
        Command::Reference(options) => reference::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Test(options) => test::run(&options),
        Command::EchoServer(options) => bench::serve_echo(&options),
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
