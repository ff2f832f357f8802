//! `quoratectl`: the scriptable twin of `etcdctl`. Called by another name (a link
//! `etcdctl` or `etcdutl`), it behaves as that program.
//!
//! ```text
//! main → cli (clap, by Go's flag rules) → command (one file per noun) → quorate-client
//!                                             └→ print (one file per format)
//! stopped (data directories of stopped members) → quorate-etcd-files, quorate-storage
//! leaves: progress (a bar on stderr) · go (Go's number, string and time formats) · terminal (stdin, stdout, stderr) · failure (exit codes)
//! ```
//! Answers go to stdout, errors as `Error: …` to stderr, with etcdctl's exit codes.

#![allow(missing_docs, reason = "a program, not a library: file headers and why-comments carry it")]

mod cli;
mod command;
mod connect;
mod discovery;
mod failure;
mod go;
mod password;
mod print;
mod progress;
mod stopped;
mod terminal;

use cli::Complaint;
use failure::{Failure, Outcome, exit};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Our own name.
pub const PROGRAM: &str = "quoratectl";

/// The name of a link that makes us work on files only.
pub const UTL: &str = "etcdutl";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let program = program_name(&arguments);
    let outcome = if program == UTL {
        cli::parse_utl(program, &arguments).map(|utl| command::run_utl(utl, program))
    } else {
        cli::parse(program, &arguments).map(|cli| run(cli, program, &arguments))
    };
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            if !failure.cause.is_empty() {
                terminal::log("warn", "no member answered", &[("error", &failure.cause)]);
            }
            if !failure.text.is_empty() {
                terminal::complain(format!("Error: {}", failure.text));
            }
            ExitCode::from(failure.code)
        }
        Err(Complaint::Help(text)) => {
            terminal::print_text(text);
            ExitCode::SUCCESS
        }
        Err(Complaint::Notice(text)) => {
            terminal::complain(text);
            ExitCode::SUCCESS
        }
        Err(Complaint::Error { text, usage }) => {
            terminal::complain(format!("Error: {text}"));
            if !usage.is_empty() {
                terminal::complain(usage);
            }
            ExitCode::from(exit::ERROR)
        }
    }
}

/// The name we were called by: that of a link to us, or our own.
fn program_name(arguments: &[OsString]) -> &'static str {
    let name = arguments.first().and_then(|path| Path::new(path).file_name());
    match name.and_then(|name| name.to_str()) {
        Some("etcdctl") => "etcdctl",
        Some(UTL) => UTL,
        _ => PROGRAM,
    }
}

fn run(cli: cli::Cli, program: &'static str, arguments: &[OsString]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(exit::IO, error.to_string()))?;
    let outcome = runtime.block_on(command::run(cli, program, arguments));
    // A thread that still waits for stdin must not hold the program back.
    runtime.shutdown_background();
    outcome
}
