//! Flags and environment in, raw values out: Go's flag syntax on top of clap.
//!
//! One or two dashes, `--flag value` or `--flag=value`, bare booleans, the last one of a repeated flag wins. What is
//! wrong with a flag's shape ends with code 2, as Go's flag package does it, the same in a variable with 1.

use super::old_spellings::{Meaning, OLD_SPELLINGS, OldSpelling};
use super::{FLAGS, Flag, Kind, Support, file, parse_duration};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

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
    /// `--config-file`.
    File,
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
    /// `--for-etcd`: the release line that is to start on the directory.
    pub for_etcd: Option<String>,
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

/// clap's message and its tip in one line, without the usage text and without the advice to write the flag as a value.
fn one_line(message: &str, program: &str) -> String {
    let is_told = |line: &&str| {
        !line.is_empty()
            && !line.starts_with("tip: to pass '")
            && !line.starts_with("For more information")
    };
    let lines = message.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let told: Vec<&str> = lines.filter(is_told).collect();
    let told = told.join(" ").replace(": <file>", ": the snapshot FILE");
    format!("{}. See {program} --help.", told.trim_start_matches("error: "))
}

/// Parses arguments (without the program name) and `ETCD_*` variables. The warnings that come with the values are
/// for the log, which is not open yet.
///
/// # Errors
/// An unknown flag, a stray argument, a malformed value, a flag given by both command line and environment, or a
/// configuration file that cannot be read.
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
        Err(error) => {
            return Err(ConfigError::Syntax(one_line(&error.to_string(), "quorate-server")));
        }
    };
    if let Some(stray) = matches.get_many::<String>(STRAY).and_then(|mut strays| strays.next()) {
        return Err(ConfigError::Contradiction(format!("{stray:?} is not a valid flag")));
    }
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let mut warnings = Vec::new();
    let values = match config_file(&matches, &environment) {
        Some(path) => from_file(&path, &mut warnings)?,
        None => collect(&matches, &environment, &mut warnings)?,
    };
    warn_of_ignored(&values, &mut warnings);
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

/// Where clap puts what is no flag.
const STRAY: &str = "stray arguments";

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
        let arg = valued(flag.name, flag.kind).help(flag.help).help_heading(flag.group);
        command = command.arg(arg.hide(flag.group == "Retired"));
    }
    for old in OLD_SPELLINGS {
        command = command.arg(valued(old.name, old.kind).hide(true));
    }
    let stray = Arg::new(STRAY).num_args(0..).trailing_var_arg(true).hide(true);
    command.arg(stray)
}

fn valued(name: &'static str, kind: Kind) -> Arg {
    let arg = Arg::new(name).long(name).allow_hyphen_values(true).action(ArgAction::Set);
    match kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Text | Kind::Count | Kind::Size | Kind::Time => arg.num_args(1),
    }
}

/// The configuration file, if one is named.
fn config_file(matches: &ArgMatches, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let flag = matches.get_one::<String>("config-file").cloned();
    let path = flag.filter(|path| !path.is_empty());
    let path = path.or_else(|| environment.get("ETCD_CONFIG_FILE").cloned());
    path.filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn defaults() -> Values {
    let default = |flag: &Flag| (flag.name, (flag.default.to_owned(), Source::Default));
    FLAGS.iter().map(default).collect()
}

fn from_file(path: &Path, warnings: &mut Vec<String>) -> Result<Values, ConfigError> {
    let mut values = defaults();
    warnings.push(format!(
        "loaded server configuration from {}, other configuration command line flags and environment variables will \
         be ignored if provided",
        path.display()
    ));
    file::read(path, &mut values, warnings)?;
    Ok(values)
}

fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_uppercase().replace('-', "_"))
}

/// A flag's value from the command line or the environment.
fn find(
    matches: &ArgMatches,
    environment: &BTreeMap<String, String>,
    name: &str,
) -> Result<Option<(String, Source)>, ConfigError> {
    let variable = variable(name);
    let from_environment = environment.get(&variable).filter(|value| !value.is_empty());
    match (matches.get_one::<String>(name), from_environment) {
        (Some(_), Some(_)) => Err(ConfigError::Shadowed(variable)),
        (Some(value), None) => Ok(Some((value.clone(), Source::Flag))),
        (None, Some(value)) => Ok(Some((value.clone(), Source::Environment))),
        (None, None) => Ok(None),
    }
}

fn collect(
    matches: &ArgMatches,
    environment: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Result<Values, ConfigError> {
    let mut values = defaults();
    for flag in FLAGS {
        if let Some((value, source)) = find(matches, environment, flag.name)? {
            check_shape(flag.name, flag.kind, &value, source)?;
            values.insert(flag.name, (value, source));
        }
    }
    for old in OLD_SPELLINGS {
        let Some((value, source)) = find(matches, environment, old.name)? else { continue };
        check_shape(old.name, old.kind, &value, source)?;
        warnings.push(old_spelling_text(old));
        match old.meaning {
            Meaning::Flag(name) if values.get(name).is_some_and(|old| old.1 == Source::Default) => {
                values.insert(name, (value, source));
            }
            // The name of today wins.
            Meaning::Flag(_) => {}
            Meaning::Gate(name) => switch_gate(&mut values, name, is_true(&value), source),
        }
    }
    let names = FLAGS.iter().map(|flag| flag.name).chain(OLD_SPELLINGS.iter().map(|old| old.name));
    let known: HashSet<String> = names.map(variable).collect();
    for name in environment.keys().filter(|name| name.starts_with("ETCD_")) {
        if !known.contains(name) && !HARMLESS_VARIABLES.contains(&name.as_str()) {
            warnings.push(format!("unrecognized environment variable {name}"));
        }
    }
    Ok(values)
}

/// Variables that are no flags and that nobody needs to be told of.
const HARMLESS_VARIABLES: [&str; 3] = ["ETCD_VERSION", "ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY"];

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True")
}

/// Switches a feature gate, unless `--feature-gates` names it itself.
pub(super) fn switch_gate(values: &mut Values, name: &str, is_on: bool, source: Source) {
    let Some(gates) = values.get_mut("feature-gates") else { return };
    if gates.0.split(',').any(|gate| gate.split('=').next() == Some(name)) {
        return;
    }
    let comma = if gates.0.is_empty() { "" } else { "," };
    *gates = (format!("{}{comma}{name}={is_on}", gates.0), source);
}

/// Tells what to write instead.
pub(super) fn old_spelling_text(old: &OldSpelling) -> String {
    let name = old.name;
    match old.meaning {
        Meaning::Flag(now) => format!("--{name} is deprecated. Use --{now} instead."),
        Meaning::Gate(gate) => {
            format!("--{name} is deprecated. Use --feature-gates={gate}=true instead.")
        }
    }
}

/// What `--v2-deprecation` may say; it has no effect.
const V2_PHASES: [&str; 4] =
    ["write-only", "write-only-skip-check", "write-only-drop-data", "gone"];

/// What Go's flag package would refuse before anything is looked at.
fn check_shape(
    name: &'static str,
    kind: Kind,
    value: &str,
    source: Source,
) -> Result<(), ConfigError> {
    let expected = match (name, kind) {
        ("initial-cluster-state", _) if !matches!(value, "new" | "existing") => "new or existing",
        ("discovery-fallback", _) if !matches!(value, "exit" | "proxy") => "exit",
        ("v2-deprecation", _) if !value.split(',').all(|it| V2_PHASES.contains(&it)) => {
            return Err(shape_error(name, value, source, &format!("invalid value {value:?}")));
        }
        (_, Kind::Switch) if !is_true(value) && !is_false(value) => "true or false",
        (_, Kind::Count) if value.parse::<u64>().is_err() => "a whole number",
        (_, Kind::Size) if value.parse::<i64>().is_err() => "a whole number",
        (_, Kind::Time) if parse_duration(value.trim_start_matches('-')).is_none() => {
            "a duration such as 100ms or 5m"
        }
        _ => return Ok(()),
    };
    Err(shape_error(name, value, source, &format!("{expected} is needed")))
}

/// In the words of Go's flag package, with its one dash.
fn shape_error(name: &'static str, value: &str, source: Source, reason: &str) -> ConfigError {
    let said = match source {
        Source::Environment => variable(name),
        _ => format!("flag -{name}"),
    };
    let text = format!("invalid value {value:?} for {said}: {reason}");
    match source {
        Source::Flag => ConfigError::Syntax(format!("{text}. See quorate-server --help.")),
        _ => ConfigError::Contradiction(text),
    }
}

fn is_false(value: &str) -> bool {
    matches!(value, "false" | "0" | "f" | "F" | "FALSE" | "False")
}

/// One warning for each flag that has no effect.
fn warn_of_ignored(values: &Values, warnings: &mut Vec<String>) {
    for flag in FLAGS.iter().filter(|flag| flag.support == Support::Ignored) {
        let is_asked = |(value, source): &(String, Source)| {
            *source != Source::Default && value != flag.default
        };
        if values.get(flag.name).is_some_and(is_asked) {
            warnings.push(ignored_text(flag.name));
        }
    }
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
        .arg(switch("mark-compacted", "Make all older watches fail; needed with --bump-revision"))
        .arg(text("for-etcd", "", "Release of etcd that is to start on it: 3.4, 3.5, 3.6 or 3.7"));
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Print(error.to_string(), 0)),
        Err(error) => {
            let told = one_line(&error.to_string(), "quorate-server restore");
            return Err(ConfigError::Syntax(told));
        }
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
        for_etcd: get("for-etcd"),
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
        let stray = serve(&["--name=a", "stray"], &[]).unwrap_err();
        assert_eq!(
            (stray.to_string().as_str(), stray.exit_code()),
            ("\"stray\" is not a valid flag", 1)
        );
    }

    /// What clap says is one sentence that is true here: no tip to write the flag as a value, no second "try --help".
    #[test]
    fn complaints_are_one_sentence() {
        let told = |args: &[&str]| serve(args, &[]).unwrap_err().to_string();
        assert!(!told(&["--no-such-flag"]).contains("as a value"));
        assert!(!told(&["--name"]).contains("For more information"));
        let restore = told(&["restore"]);
        assert!(!restore.contains('\n') && restore.contains("snapshot FILE"), "{restore}");
    }

    /// Exit codes of values with the wrong shape, as real etcd 3.7.1 ends with them.
    #[test]
    fn shapes() {
        for flag in [
            "--snapshot-count=x",
            "--snapshot-count=-1",
            "--quota-backend-bytes=x",
            "--backend-batch-interval=x",
            "--pre-vote=x",
            "--initial-cluster-state=old",
            "--discovery-fallback=x",
            "--v2-deprecation=not-yet",
        ] {
            assert_eq!(serve(&[flag], &[]).unwrap_err().exit_code(), 2, "{flag}");
        }
        let variable = serve(&[], &[("ETCD_SNAPSHOT_COUNT", "x")]).unwrap_err();
        assert_eq!(variable.exit_code(), 1);
        assert!(variable.to_string().contains("ETCD_SNAPSHOT_COUNT"));
    }

    /// Names of 3.5 work as flags and variables; what is given by today's name wins.
    #[test]
    fn old_spellings() {
        let args = ["--experimental-initial-corrupt-check", "--experimental-max-learners=2"];
        let environment = [("ETCD_EXPERIMENTAL_COMPACTION_BATCH_LIMIT", "7")];
        let values = serve(&args, &environment).unwrap();
        assert_eq!(values["feature-gates"].0, "InitialCorruptCheck=true");
        assert_eq!(
            (values["max-learners"].0.as_str(), values["compaction-batch-limit"].0.as_str()),
            ("2", "7")
        );
        let both = serve(&["--max-learners=4", "--experimental-max-learners=2"], &[]).unwrap();
        assert_eq!(both["max-learners"].0, "4");
        let args =
            ["--feature-gates=CompactHashCheck=false", "--experimental-compact-hash-check-enabled"];
        assert_eq!(serve(&args, &[]).unwrap()["feature-gates"].0, "CompactHashCheck=false");
    }
}
