//! Flags and environment in, raw values out: Go's flag syntax on top of clap.
//!
//! One or two dashes, `--flag value` or `--flag=value`, bare booleans, the last one of a repeated flag wins.

use super::{FLAGS, Kind, Support};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::collections::BTreeMap;

use super::ConfigError;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table's default.
    Default,
    /// The command line.
    Flag,
    /// `ETCD_*`.
    Environment,
}

/// Raw values by flag name.
pub type Values = BTreeMap<&'static str, (String, Source)>;

/// Arguments of `quorate-server restore FILE`, those of `etcdutl snapshot restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreArgs {
    /// Snapshot file.
    pub file: String,
    /// `--data-dir`; `<name>.etcd` where absent.
    pub data_dir: Option<String>,
    /// `--wal-dir`.
    pub wal_dir: Option<String>,
    /// `--name`.
    pub name: String,
    /// `--initial-cluster`.
    pub initial_cluster: String,
    /// `--initial-cluster-token`.
    pub token: String,
    /// `--initial-advertise-peer-urls`.
    pub peer_urls: String,
    /// `--skip-hash-check`.
    pub skip_hash_check: bool,
    /// `--bump-revision`.
    pub bump_revision: u64,
    /// `--mark-compacted`.
    pub mark_compacted: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run a member.
    Serve(Values, Vec<String>),
    /// Make a data directory from a snapshot file.
    Restore(RestoreArgs),
    /// Print this text and end with this code.
    Print(String, i32),
}

/// clap's message and its tip in one line, without the usage text.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let told: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let told = told.join(", ");
    format!("{}. See quorate-server --help.", told.trim_start_matches("error: "))
}

/// Parses arguments (without the program name) and `ETCD_*` variables. The warnings that come with the values are
/// for the log, which is not open yet.
///
/// # Errors
/// An unknown flag, a stray argument, a malformed value, a flag given by both command line and environment, or one
/// that is not supported yet.
pub fn parse(
    args: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Invocation, ConfigError> {
    let args: Vec<String> = args.into_iter().map(double_dash).collect();
    if args.first().is_some_and(|first| first == "restore") {
        return parse_restore(args);
    }
    if args.iter().any(|arg| arg == "--version" || arg == "--version=true") {
        return Ok(Invocation::Print(version_text(), 0));
    }
    let program = std::iter::once("quorate-server".to_owned());
    let matches = match serve_command().try_get_matches_from(program.chain(args)) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            return Ok(Invocation::Print(error.to_string(), 0));
        }
        Err(error) => return Err(ConfigError::Syntax(one_line(&error.to_string()))),
    };
    let mut warnings = Vec::new();
    let values = collect(&matches, environment.into_iter().collect(), &mut warnings)?;
    Ok(Invocation::Serve(values, warnings))
}

/// Go's flag package takes one dash for two.
fn double_dash(arg: String) -> String {
    let is_long = arg.starts_with('-') && !arg.starts_with("--") && arg.len() > 2;
    if is_long { format!("-{arg}") } else { arg }
}

fn version_text() -> String {
    let os_arch = format!("{}/{}", std::env::consts::OS, go_arch());
    format!(
        "etcd Version: {}\nGit SHA: quorate-{}\nGo Version: none (Quorate is Rust)\nGo OS/Arch: {os_arch}\n",
        crate::types::ETCD_VERSION,
        env!("CARGO_PKG_VERSION"),
    )
}

fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn serve_command() -> Command {
    let mut command = Command::new("quorate-server")
        .about("A replicated key-value store that is a drop-in for etcd v3.7.1")
        .after_help(
            "Every flag may also come from ETCD_ and its name in upper case with _ for -.\n\
             `quorate-server restore FILE` makes a data directory from a snapshot file.",
        )
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(
            Arg::new("version")
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Print the version."),
        );
    for flag in FLAGS {
        let arg = Arg::new(flag.name).long(flag.name).help(flag.help).help_heading(flag.group);
        let arg =
            arg.hide(flag.group == "Retired").allow_hyphen_values(true).action(ArgAction::Set);
        command = command.arg(match flag.kind {
            Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Kind::Text | Kind::Count | Kind::Size | Kind::Time => arg.num_args(1),
        });
    }
    command
}

fn collect(
    matches: &ArgMatches,
    environment: BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Result<Values, ConfigError> {
    let mut values = Values::new();
    let mut known =
        vec!["ETCD_VERSION".to_owned(), "ETCD_UNSUPPORTED_ARCH".into(), "ETCD_VERIFY".into()];
    for flag in FLAGS {
        let variable = format!("ETCD_{}", flag.name.to_uppercase().replace('-', "_"));
        let from_environment = environment.get(&variable).filter(|value| !value.is_empty());
        let from_flag = matches.get_one::<String>(flag.name);
        known.push(variable.clone());
        let (value, source) = match (from_flag, from_environment) {
            (Some(_), Some(_)) => return Err(ConfigError::Shadowed(variable)),
            (Some(value), None) => (value.clone(), Source::Flag),
            (None, Some(value)) => (value.clone(), Source::Environment),
            (None, None) => (flag.default.to_owned(), Source::Default),
        };
        if source != Source::Default && value != flag.default {
            match flag.support {
                Support::Honoured => {}
                Support::Ignored => warnings.push(ignored_text(flag.name)),
                Support::NotYet => return Err(ConfigError::NotSupported(flag.name, flag.help)),
            }
        }
        values.insert(flag.name, (value, source));
    }
    for name in environment.keys().filter(|name| name.starts_with("ETCD_") && !known.contains(name))
    {
        warnings.push(format!("unrecognized environment variable {name}"));
    }
    Ok(values)
}

/// Two texts are looked for by etcd's own tests (`reference/process.md`, section 3).
fn ignored_text(name: &str) -> String {
    match name {
        "max-snapshots" => {
            "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8".to_owned()
        }
        "v2-deprecation" => "--v2-deprecation is deprecated and scheduled for removal in v3.8. \
             The default value is enforced, ignoring user input"
            .to_owned(),
        _ => format!("--{name} has no effect in Quorate"),
    }
}

fn parse_restore(args: Vec<String>) -> Result<Invocation, ConfigError> {
    let text = |name: &'static str, default: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).num_args(1).help(help);
        if default.is_empty() { arg } else { arg.default_value(default) }
    };
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    let peers = "http://localhost:2380";
    let command = Command::new("quorate-server restore")
        .about("Makes a data directory from a snapshot file; the flags are those of `etcdutl snapshot restore`")
        .args_override_self(true)
        .arg(Arg::new("file").required(true).help("Snapshot file"))
        .arg(text("data-dir", "", "Data directory to make; <name>.etcd where absent"))
        .arg(text("wal-dir", "", "Directory of the log, where it is to be apart"))
        .arg(text("name", "default", "Name of the member"))
        .arg(text("initial-cluster", "default=http://localhost:2380", "name=url,... of all members"))
        .arg(text("initial-cluster-token", "etcd-cluster", "Token; choose a fresh one"))
        .arg(text("initial-advertise-peer-urls", peers, "Peer URLs of this member"))
        .arg(text("initial-memory-map-size", "0", "Accepted, no effect"))
        .arg(switch("skip-hash-check", "Restore a file without its checksum"))
        .arg(text("bump-revision", "0", "Add this many revisions"))
        .arg(switch("mark-compacted", "Make all older watches fail; needed with --bump-revision"));
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Print(error.to_string(), 0)),
        Err(error) => return Err(ConfigError::Syntax(error.to_string())),
    };
    let get = |name: &str| matches.get_one::<String>(name).cloned();
    let bump = get("bump-revision").unwrap_or_default();
    let bump_revision = bump.parse().map_err(|_| ConfigError::malformed("bump-revision", &bump))?;
    Ok(Invocation::Restore(RestoreArgs {
        file: get("file").unwrap_or_default(),
        data_dir: get("data-dir"),
        wal_dir: get("wal-dir"),
        name: get("name").unwrap_or_default(),
        initial_cluster: get("initial-cluster").unwrap_or_default(),
        token: get("initial-cluster-token").unwrap_or_default(),
        peer_urls: get("initial-advertise-peer-urls").unwrap_or_default(),
        skip_hash_check: matches.get_flag("skip-hash-check"),
        bump_revision,
        mark_compacted: matches.get_flag("mark-compacted"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(args: &[&str], environment: &[(&str, &str)]) -> Result<Values, ConfigError> {
        let args = args.iter().map(|s| (*s).to_owned());
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        match parse(args, environment)? {
            Invocation::Serve(values, _) => Ok(values),
            other => panic!("not a serve: {other:?}"),
        }
    }

    /// Go's syntax: one dash or two, `=` or not, bare switches, the last one wins.
    #[test]
    fn go_flag_syntax() {
        let args = ["-name=a", "--name", "b", "--force-new-cluster", "--pre-vote=false"];
        let values = serve(&args, &[]).unwrap();
        assert_eq!(values["name"], ("b".to_owned(), Source::Flag));
        assert_eq!(values["force-new-cluster"].0, "true");
        assert_eq!(values["pre-vote"].0, "false");
    }

    /// The environment fills what flags leave open; both at once is refused, empty counts as unset.
    #[test]
    fn environment() {
        let values = serve(&[], &[("ETCD_NAME", "e"), ("ETCD_DATA_DIR", "")]).unwrap();
        assert_eq!(values["name"], ("e".to_owned(), Source::Environment));
        assert_eq!(values["data-dir"].1, Source::Default);
        let both = serve(&["--name=a"], &[("ETCD_NAME", "e")]);
        assert!(matches!(both, Err(ConfigError::Shadowed(_))));
    }

    /// Unknown flags and stray arguments are refused; what could do harm when ignored is refused too.
    #[test]
    fn refusals() {
        assert!(matches!(serve(&["--no-such-flag"], &[]), Err(ConfigError::Syntax(_))));
        assert!(matches!(serve(&["stray"], &[]), Err(ConfigError::Syntax(_))));
        assert!(matches!(serve(&["--discovery-token=x"], &[]), Err(ConfigError::NotSupported(..))));
    }
}
