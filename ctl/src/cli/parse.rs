//! Reads command lines: the program's own, one of etcdutl, or a line of a txn or an interactive watch. What may be in
//! them is said elsewhere.

use super::{Cli, Command, Complaint, Utl, adapt, environment};
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;

/// The whole command line as clap knows it, for `program`.
pub fn definition(program: &'static str) -> clap::Command {
    let command = match program {
        crate::UTL => Utl::command(),
        crate::PROGRAM => Cli::command(),
        _ => without(Cli::command(), &OWN_COMMANDS),
    };
    adapt::adapt(command.name(program).bin_name(program))
}

/// Commands that etcdctl has not. Under its name they would make its abbreviations ambiguous.
const OWN_COMMANDS: [&str; 3] = ["hashkv", "migrate", "generate"];

/// A definition without some of its commands.
fn without(command: clap::Command, names: &[&str]) -> clap::Command {
    let about = command.get_about().cloned().unwrap_or_default();
    let after = command.get_after_help().cloned().unwrap_or_default();
    let kept = command.get_subcommands().filter(|item| !names.contains(&item.get_name()));
    clap::Command::new("")
        .about(about)
        .after_help(after)
        .args(command.get_arguments().cloned())
        .subcommands(kept.cloned())
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
    // What every other program takes, etcdctl does not.
    let asks_version =
        matches!(arguments, [_, word] if program == crate::PROGRAM && word == "--version");
    let version = [OsString::from(program), OsString::from("version")];
    let arguments = if asks_version { &version } else { arguments };
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
