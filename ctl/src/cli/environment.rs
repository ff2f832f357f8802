//! Global flags from the environment: `QUORATECTL_<FLAG>`, else `ETCDCTL_<FLAG>`. A flag given both ways is an error,
//! as in etcdctl, because one of the two would silently be ignored.

use super::complain::Complaint;
use crate::terminal::log;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use std::ffi::OsString;

/// Prefixes, the one that wins first.
const PREFIXES: [&str; 2] = ["QUORATECTL_", "ETCDCTL_"];

/// Variables with the prefix that are no flags: read by commands, or left from older versions.
const OTHERS: [&str; 3] = ["API", "WATCH_KEY", "WATCH_RANGE_END"];

/// The arguments, completed by what the environment says about flags that were not given.
pub(super) fn complete(
    definition: &Command,
    matches: &ArgMatches,
    arguments: &[OsString],
) -> Result<Vec<OsString>, Complaint> {
    let mut complete = arguments.to_vec();
    let mut deepest = matches;
    while let Some((_, below)) = deepest.subcommand() {
        deepest = below;
    }
    for flag in definition.get_arguments() {
        let (Some(name), Some((variable, value))) = (flag.get_long(), lookup(flag.get_long()))
        else {
            continue;
        };
        if deepest.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine) {
            let text =
                "conflicting environment variable is shadowed by corresponding command-line flag";
            let hint = "Either unset the variable or drop the flag.";
            return Err(Complaint::error(format!("{text}: {variable}. {hint}")));
        }
        let mut word = OsString::from(format!("--{name}="));
        word.push(value);
        // A value that the flag does not take is passed over, as etcdctl does.
        let trial = [arguments[0].clone(), word.clone(), OsString::from("version")];
        if definition.clone().try_get_matches_from(trial).is_ok() {
            complete.insert(1, word);
        }
    }
    warn_about_unknown(definition);
    Ok(complete)
}

/// The variable of a flag that is set to something.
fn lookup(flag: Option<&str>) -> Option<(String, OsString)> {
    let upper = flag?.to_uppercase().replace('-', "_");
    PREFIXES.iter().find_map(|prefix| {
        let variable = format!("{prefix}{upper}");
        let value = std::env::var_os(&variable).filter(|value| !value.is_empty())?;
        Some((variable, value))
    })
}

fn warn_about_unknown(definition: &Command) {
    let known = |name: &str| {
        OTHERS.contains(&name)
            || definition.get_arguments().any(|flag| {
                flag.get_long().is_some_and(|long| long.to_uppercase().replace('-', "_") == name)
            })
    };
    for (variable, value) in std::env::vars_os() {
        let Some(variable) = variable.to_str() else { continue };
        let name = PREFIXES.iter().find_map(|prefix| variable.strip_prefix(prefix));
        if name.is_some_and(|name| !known(name)) {
            let setting = format!("{variable}={}", value.to_string_lossy());
            let fields = [("environment-variable", setting.as_str())];
            log("warn", "unrecognized environment variable", &fields);
        }
    }
}
