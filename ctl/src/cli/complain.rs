//! What is wrong with a command line, in etcdctl's words, with its exit code. Help that was asked for also ends here.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// Why a command line is not run.
#[derive(Debug)]
pub enum Complaint {
    /// Help for stdout; exit code 0.
    Help(String),
    /// A remark for stderr; exit code 0.
    Notice(String),
    /// An error for stderr and the usage to show below it; exit code 1.
    Error {
        /// After `Error: `.
        text: String,
        /// Empty if none is shown.
        usage: String,
    },
}

impl Complaint {
    /// An error without usage.
    pub fn error(text: impl Into<String>) -> Complaint {
        Complaint::Error { text: text.into(), usage: String::new() }
    }

    /// Puts clap's error into etcdctl's words.
    pub(super) fn from_clap(
        error: &clap::Error,
        definition: &Command,
        arguments: &[OsString],
    ) -> Complaint {
        let (mut command, is_root) = find_command(definition, arguments);
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            _ => String::new(),
        };
        let help = arguments.iter().position(|word| word == "help");
        if let (Some(at), ErrorKind::InvalidSubcommand) = (help, error.kind()) {
            let topic: Vec<_> =
                arguments[at + 1..].iter().map(|word| word.to_string_lossy()).collect();
            return Complaint::Notice(format!("Unknown help topic [`{}`]", topic.join("` `")));
        }
        let text = match error.kind() {
            ErrorKind::DisplayHelp => return Complaint::Help(error.to_string()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                return Complaint::Help(command.render_help().to_string());
            }
            ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument
                if command.has_subcommands()
                    && !context(ContextKind::InvalidArg).starts_with('-') =>
            {
                if !is_root {
                    return Complaint::Help(command.render_help().to_string());
                }
                let word = match context(ContextKind::InvalidSubcommand) {
                    word if word.is_empty() => context(ContextKind::InvalidArg),
                    word => word,
                };
                return Complaint::error(unknown_command(definition, &word));
            }
            ErrorKind::UnknownArgument => {
                unknown_flag(&context(ContextKind::InvalidArg), arguments)
            }
            ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
                missing_value(&command, &context(ContextKind::InvalidArg), arguments)
            }
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
                let value = crate::go::quote(context(ContextKind::InvalidValue).as_bytes());
                let flag = flag_names(&command, &context(ContextKind::InvalidArg));
                let cause = std::error::Error::source(error).map(ToString::to_string);
                format!(
                    "invalid argument {value} for \"{flag}\" flag: {}",
                    cause.unwrap_or_default()
                )
            }
            _ => first_line(&error.to_string()),
        };
        Complaint::Error { text, usage: command.render_usage().to_string() }
    }
}

/// The command that the arguments name, as far as they name one, and whether it is the root.
fn find_command(definition: &Command, arguments: &[OsString]) -> (Command, bool) {
    let mut built = definition.clone();
    built.build();
    let mut command = built;
    let mut is_root = true;
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        let exact = command.find_subcommand(word).cloned();
        let next = exact.or_else(|| {
            let mut started =
                command.get_subcommands().filter(|item| item.get_name().starts_with(word));
            match (started.next(), started.next()) {
                (Some(only), None) if !word.is_empty() => Some(only.clone()),
                _ => None,
            }
        });
        if let Some(next) = next {
            command = next;
            is_root = false;
        }
    }
    (command, is_root)
}

/// Go's words for a flag that is not defined. clap names only the flag, Go also the word it stands in.
fn unknown_flag(flag: &str, arguments: &[OsString]) -> String {
    if flag.starts_with("--") {
        return format!("unknown flag: {}", flag.split('=').next().unwrap_or(flag));
    }
    let letter = flag.trim_start_matches('-').chars().next().unwrap_or('-');
    let word = arguments
        .iter()
        .filter_map(|word| word.to_str())
        .find(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter));
    format!("unknown shorthand flag: '{letter}' in {}", word.unwrap_or(flag))
}

/// Go's words for a flag at the end of the line that wants a value.
fn missing_value(command: &Command, shown: &str, arguments: &[OsString]) -> String {
    let long = long_name(shown);
    let short = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long))
        .and_then(clap::Arg::get_short);
    match (short, arguments.last().and_then(|word| word.to_str())) {
        (Some(short), Some(last)) if !last.starts_with("--") => {
            format!("flag needs an argument: '{short}' in {last}")
        }
        _ => format!("flag needs an argument: --{long}"),
    }
}

/// The names of a flag as Go shows them: `-w, --write-out`.
fn flag_names(command: &Command, shown: &str) -> String {
    let long = long_name(shown);
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long));
    match arg.and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, --{long}"),
        None => format!("--{long}"),
    }
}

/// clap shows a flag as `--limit <LIMIT>` or `--prefix[=<PREFIX>]`.
fn long_name(shown: &str) -> &str {
    let start = shown.find("--").map_or(0, |at| at + 2);
    let name = &shown[start..];
    let end = name.find([' ', '[', '=']).unwrap_or(name.len());
    &name[..end]
}

/// Go's words for an unknown command, with what was perhaps meant.
fn unknown_command(definition: &Command, word: &str) -> String {
    let program = definition.get_name();
    let quoted = crate::go::quote(word.as_bytes());
    let lower = word.to_lowercase();
    let near: Vec<&str> = definition
        .get_subcommands()
        .map(Command::get_name)
        .filter(|name| distance(&lower, name) <= 2 || name.starts_with(&lower))
        .collect();
    let mut text = format!("unknown command {quoted} for \"{program}\"\n");
    if !near.is_empty() {
        text.push_str(&format!("\nDid you mean this?\n\t{}\n\n", near.join("\n\t")));
    }
    text.push_str(&format!("Run '{program} --help' for usage."));
    text
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance is that of the fewest single-letter edits.
    #[test]
    fn distances() {
        assert_eq!(distance("get", "get"), 0);
        assert_eq!(distance("gt", "get"), 1);
        assert_eq!(distance("e", "get"), 2);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
