//! Reads command lines: the program's own, one of etcdutl, or a line of a txn or an interactive watch. What may be in
//! them is said elsewhere.

use super::{Cli, Command, Complaint, Utl, adapt, environment};
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;

/// The whole command line as clap knows it, for `program`.
pub fn definition(program: &'static str) -> clap::Command {
    let command = if program == crate::UTL { Utl::command() } else { Cli::command() };
    adapt::adapt(command.name(program).bin_name(program))
}

/// Reads a command line of etcdutl.
///
/// # Errors
/// As [`parse`].
pub fn parse_utl(program: &'static str, arguments: &[OsString]) -> Result<Utl, Complaint> {
    let definition = definition(program);
    definition
        .clone()
        .try_get_matches_from(arguments)
        .and_then(|matches| Utl::from_arg_matches(&matches))
        .map_err(|error| Complaint::from_clap(&error, &definition, arguments))
}

/// Reads a command line, environment variables included. The first argument is the program.
///
/// # Errors
/// Help that was asked for, or what is wrong, in etcdctl's words.
pub fn parse(program: &'static str, arguments: &[OsString]) -> Result<Cli, Complaint> {
    let definition = definition(program);
    let matches = definition
        .clone()
        .try_get_matches_from(arguments)
        .map_err(|error| Complaint::from_clap(&error, &definition, arguments))?;
    let arguments = environment::complete(&definition, &matches, arguments)?;
    let matches = definition
        .clone()
        .try_get_matches_from(&arguments)
        .map_err(|error| Complaint::from_clap(&error, &definition, &arguments))?;
    Cli::from_arg_matches(&matches)
        .map_err(|error| Complaint::from_clap(&error, &definition, &arguments))
}

/// Reads one line of a txn or an interactive watch as a command, without the environment.
///
/// # Errors
/// What is wrong with it.
pub fn parse_line(program: &'static str, words: &[OsString]) -> Result<Command, Complaint> {
    let definition = definition(program);
    let arguments: Vec<OsString> =
        std::iter::once(OsString::from(program)).chain(words.iter().cloned()).collect();
    let cli = definition
        .clone()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| Complaint::from_clap(&error, &definition, &arguments))?;
    Ok(cli.command)
}
