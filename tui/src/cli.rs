//! Flags and environment, with etcdctl's names. Ends in plain settings; connects nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory, Parser, ValueEnum};
use clap_complete::Shell;
use quorate_client::{Config, Credentials, Tls};

/// Questions are given up after this; a local Status takes a millisecond.
const TIMEOUT_DEFAULT: &str = "2s";

/// The flags.
#[derive(Debug, Parser)]
#[command(
    name = "quorate-tui",
    version,
    about = "Dashboard for Quorate and etcd clusters",
    long_about = "Shows a Quorate or etcd (3.4 to 3.7) cluster live: its members, their health, lag, space and \
                  latency, and what is wrong with a reason and an advice.\n\n\
                  It only reads. Members that the endpoints name are found by themselves. Keys answer while members \
                  are down; press ? for them.",
    after_help = "Examples:\n  \
        quorate-tui --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379\n  \
        quorate-tui --endpoints https://db1:2379 --cacert ca.pem --cert me.pem --key me-key.pem\n  \
        quorate-tui --once                 one picture as text, for a ticket\n  \
        quorate-tui --output json | jq .findings\n\n\
        Exit codes: 0 done, 1 no endpoint answered or the dashboard failed,\n\
        2 wrong flags, 128 + signal number after a signal."
)]
pub struct Flags {
    /// Where to ask first, separated by commas; the other members are found from there.
    #[arg(
        long,
        env = "ETCDCTL_ENDPOINTS",
        default_value = "127.0.0.1:2379",
        value_delimiter = ','
    )]
    pub endpoints: Vec<String>,

    /// Verify the servers' certificates with this CA bundle.
    #[arg(long, env = "ETCDCTL_CACERT", value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// Identify with this client certificate.
    #[arg(long, env = "ETCDCTL_CERT", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The key of the client certificate.
    #[arg(long, env = "ETCDCTL_KEY", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// Accept any server certificate. For tests only: anybody may then be the server.
    #[arg(long, env = "ETCDCTL_INSECURE_SKIP_TLS_VERIFY")]
    pub insecure_skip_tls_verify: bool,

    /// User name; the password comes from --password-file or ETCDCTL_PASSWORD, never from the command line.
    #[arg(long, env = "ETCDCTL_USER", value_name = "NAME", hide_env_values = true)]
    pub user: Option<String>,

    /// File whose first line is the password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Time between rounds of questions.
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = duration)]
    pub refresh: Duration,

    /// Limit of each question; a member that takes longer counts as down.
    #[arg(long, default_value = TIMEOUT_DEFAULT, value_name = "DURATION", value_parser = duration)]
    pub timeout: Duration,

    /// Print one picture as text and end.
    #[arg(long, conflicts_with = "output")]
    pub once: bool,

    /// Print the picture and the findings once, in this form, and end.
    #[arg(long, short = 'w', visible_alias = "write-out", value_name = "FORM")]
    pub output: Option<Output>,

    /// Use only ASCII characters, also where the locale allows more.
    #[arg(long)]
    pub ascii: bool,

    /// Use no colour; the variable NO_COLOR does the same.
    #[arg(long)]
    pub no_color: bool,

    /// Write the man page and completion scripts into a folder, for packages, and end.
    #[arg(long, hide = true, value_name = "FOLDER")]
    pub generate: Option<PathBuf>,
}

/// Forms of `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One JSON object.
    Json,
    /// The opening screen as text, like `--once`.
    Text,
}

/// Flags that cannot be used, with what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// A password on the command line is visible to every user of the machine.
    #[error(
        "--user holds a password. Give only the name, and the password by --password-file or ETCDCTL_PASSWORD."
    )]
    PasswordInArguments,
    /// A user without a password.
    #[error("--user {0} has no password. Give it by --password-file or in ETCDCTL_PASSWORD.")]
    PasswordMissing(String),
    /// The file cannot be read.
    #[error("cannot read the password file {path}: {source}. Check the path and its permissions.")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Writes `man/` and `completions/` into a folder.
pub fn generate(folder: &Path) -> std::io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let definition = Flags::command();
    clap_mangen::generate_to(definition.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut definition.clone(), "quorate-tui", &completions)?;
    }
    Ok(())
}

impl Flags {
    /// How to connect. `password` is the environment's, `is_user_from_arguments` whether `--user` was typed.
    ///
    /// # Errors
    /// Flags that contradict each other or cannot be used.
    pub fn config(
        &self,
        password: Option<String>,
        is_user_from_arguments: bool,
    ) -> Result<Config, FlagError> {
        let endpoints =
            self.endpoints.iter().map(|e| e.trim().to_owned()).filter(|e| !e.is_empty());
        let wants_tls =
            self.cacert.is_some() || self.cert.is_some() || self.insecure_skip_tls_verify;
        Ok(Config {
            tls: wants_tls.then(|| Tls {
                ca: self.cacert.clone(),
                cert: self.cert.clone(),
                key: self.key.clone(),
                server_name: None,
                skip_verify: self.insecure_skip_tls_verify,
            }),
            credentials: self.credentials(password, is_user_from_arguments)?,
            ..Config::new(endpoints)
        })
    }

    fn credentials(
        &self,
        password: Option<String>,
        is_user_from_arguments: bool,
    ) -> Result<Option<Credentials>, FlagError> {
        let Some(user) = &self.user else { return Ok(None) };
        let from_file = self.password_file.as_deref().map(read_password).transpose()?;
        if let Some((user, password)) = user.split_once(':') {
            if is_user_from_arguments {
                return Err(FlagError::PasswordInArguments);
            }
            // ETCDCTL_USER=name:password is etcdctl's own form.
            let (user, password) = (user.to_owned(), password.to_owned());
            return Ok(Some(Credentials::Password { user, password }));
        }
        let password = from_file.or(password);
        let password = password.ok_or_else(|| FlagError::PasswordMissing(user.clone()))?;
        Ok(Some(Credentials::Password { user: user.clone(), password }))
    }
}

fn read_password(path: &Path) -> Result<String, FlagError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| FlagError::PasswordFile { path: path.to_owned(), source })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Reads `500ms`, `1s`, `2m` or a number of seconds; at least 100 ms, so that a slip does not load the cluster.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit. Use ms, s, m or h.")),
    };
    let number: f64 =
        number.parse().map_err(|_| "not a number. Write for example 500ms or 2s.".to_owned())?;
    let duration = Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| "too long. Use at most some hours.".to_owned())?;
    if duration < Duration::from_millis(100) {
        return Err("shorter than 100 ms. A shorter time would load the members.".into());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Flags {
        Flags::try_parse_from(line.split(' ')).unwrap()
    }

    /// The forms of a duration, and the ones that are refused with advice.
    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert!(duration("1ms").unwrap_err().contains("100 ms"));
        assert!(duration("3 parsecs").unwrap_err().contains("Use ms"));
    }

    /// A password on the command line is refused; from the environment it is taken as etcdctl takes it.
    #[test]
    fn passwords_never_come_from_arguments() {
        let typed = flags("quorate-tui --user root:secret");
        assert!(matches!(typed.config(None, true), Err(FlagError::PasswordInArguments)));
        let config = typed.config(None, false).unwrap();
        let expected = Credentials::Password { user: "root".into(), password: "secret".into() };
        assert_eq!(config.credentials, Some(expected));
        let error = flags("quorate-tui --user root").config(None, true).unwrap_err();
        assert!(error.to_string().contains("--password-file"));
    }

    /// Endpoints are a list; TLS is asked for by any of its files.
    #[test]
    fn endpoints_and_tls() {
        let config = flags("quorate-tui --endpoints a:1,b:2 --cacert ca.pem").config(None, false);
        let config = config.unwrap();
        assert_eq!(config.endpoints, ["a:1", "b:2"]);
        assert!(config.tls.is_some());
    }

    /// The table of flags is consistent.
    #[test]
    fn flags_are_consistent() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
    }
}
