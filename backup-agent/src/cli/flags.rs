//! Flags several commands share. Every flag has an environment variable `QUORATE_BACKUP_*`; secrets are never flags.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use quorate_client::{Client, Config, Credentials, Patience, Tls};

use crate::error::{AgentError, Result};
use crate::policy::RetentionPolicy;
use crate::store::{S3Checksum, S3Options, SnapshotStore, StoreLocation, open_store};
use crate::take::{ReadBack, TakeOptions};

/// Name of the systemd credential that holds the password of `--user`.
const SYSTEMD_PASSWORD: &str = "password";

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    #[default]
    Table,
    /// One JSON document on standard output.
    Json,
}

/// How log lines are printed (to standard error).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The cluster.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterFlags {
    /// Client URLs of the members, separated by commas. Give all of them: the best one is chosen, the others confirm
    #[arg(
        long,
        env = "QUORATE_BACKUP_ENDPOINTS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:2379"
    )]
    pub endpoints: Vec<String>,
    #[command(flatten)]
    pub access: AccessFlags,
}

/// How members are talked to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub struct AccessFlags {
    /// PEM file of the authorities that sign the servers' certificates
    #[arg(long, env = "QUORATE_BACKUP_CACERT")]
    pub cacert: Option<PathBuf>,
    /// PEM file of the client certificate. With CommonName root it works even without a quorum
    #[arg(long, env = "QUORATE_BACKUP_CERT")]
    pub cert: Option<PathBuf>,
    /// PEM file of the client certificate's key
    #[arg(long, env = "QUORATE_BACKUP_KEY")]
    pub key: Option<PathBuf>,
    /// User name; needs the root role. The password comes from --password-file, QUORATE_BACKUP_PASSWORD or the
    /// systemd credential "password"
    #[arg(long, env = "QUORATE_BACKUP_USER")]
    pub user: Option<String>,
    /// File whose first line is the password
    #[arg(long, env = "QUORATE_BACKUP_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Limit of one connection attempt, in seconds
    #[arg(long, env = "QUORATE_BACKUP_DIAL_TIMEOUT", default_value_t = 3)]
    pub dial_timeout: u64,
}

impl ClusterFlags {
    /// Connects; nothing is dialled yet.
    pub async fn connect(&self) -> Result<Client> {
        let connected = Client::connect(self.access.config(self.endpoints.clone())?).await;
        connected.map_err(|error| {
            AgentError::configuration(error.to_string(), "Check --endpoints and the TLS files.")
        })
    }
}

impl AccessFlags {
    /// The client configuration for other endpoints, with the same TLS files and credentials.
    pub fn config(&self, endpoints: Vec<String>) -> Result<Config> {
        let mut config = Config::new(endpoints);
        config.dial_timeout = Duration::from_secs(self.dial_timeout);
        config.patience = Patience::OneRound;
        config.tls = self.tls();
        config.credentials = self.credentials()?;
        Ok(config)
    }

    /// The TLS files, where any is named.
    pub fn tls(&self) -> Option<Tls> {
        let is_named = self.cacert.is_some() || self.cert.is_some();
        is_named.then(|| Tls {
            ca: self.cacert.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            ..Tls::default()
        })
    }

    /// User and password, where a user is named.
    pub fn credentials(&self) -> Result<Option<Credentials>> {
        let Some(user) = self.user.clone() else { return Ok(None) };
        let systemd = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|directory| Path::new(&directory).join(SYSTEMD_PASSWORD))
            .filter(|path| path.exists());
        let password =
            match (&self.password_file, std::env::var("QUORATE_BACKUP_PASSWORD"), systemd) {
                (Some(path), _, _) => first_line(path)?,
                (None, Ok(password), _) => password,
                (None, Err(_), Some(path)) => first_line(&path)?,
                (None, Err(_), None) => {
                    return Err(AgentError::configuration(
                        format!("user \"{user}\" has no password"),
                        "Give --password-file, QUORATE_BACKUP_PASSWORD or the systemd credential \
                     \"password\".",
                    ));
                }
            };
        Ok(Some(Credentials::Password { user, password }))
    }
}

fn first_line(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(AgentError::io("read", path))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The snapshot store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store")]
pub struct StoreFlags {
    /// Where backups are kept: s3://bucket/prefix or file:///path
    #[arg(long, env = "QUORATE_BACKUP_STORE")]
    pub store: StoreLocation,
    #[command(flatten)]
    s3: S3Flags,
}

/// The snapshot store, where a command can do without.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store")]
pub struct OptionalStoreFlags {
    /// Where backups are kept: s3://bucket/prefix or file:///path
    #[arg(long, env = "QUORATE_BACKUP_STORE")]
    pub store: Option<StoreLocation>,
    #[command(flatten)]
    s3: S3Flags,
}

impl StoreFlags {
    /// Opens the store.
    pub async fn open(&self) -> Result<Arc<dyn SnapshotStore>> {
        open_store(&self.store, &self.s3.options()?).await
    }
}

impl OptionalStoreFlags {
    /// Opens the store, where one is named.
    pub async fn open(&self) -> Result<Option<Arc<dyn SnapshotStore>>> {
        match &self.store {
            Some(store) => Ok(Some(open_store(store, &self.s3.options()?).await?)),
            None => Ok(None),
        }
    }
}

/// What only S3 has. Keys come from key files, systemd credentials or the AWS chain, never from flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "S3")]
struct S3Flags {
    /// Endpoint URL of a compatible store; AWS itself where absent
    #[arg(long, env = "QUORATE_BACKUP_S3_ENDPOINT")]
    s3_endpoint: Option<String>,
    /// Region; the AWS environment's, else us-east-1
    #[arg(long, env = "QUORATE_BACKUP_S3_REGION")]
    s3_region: Option<String>,
    /// Put the bucket in the path instead of the host name; the default with --s3-endpoint
    #[arg(long, env = "QUORATE_BACKUP_S3_PATH_STYLE")]
    s3_path_style: Option<bool>,
    /// Server-side encryption: AES256 or aws:kms
    #[arg(long, env = "QUORATE_BACKUP_S3_SSE", value_parser = ["AES256", "aws:kms"])]
    s3_sse: Option<String>,
    /// KMS key, with --s3-sse aws:kms
    #[arg(long, env = "QUORATE_BACKUP_S3_SSE_KMS_KEY_ID", requires = "s3_sse")]
    s3_sse_kms_key_id: Option<String>,
    /// Checksum the store verifies on upload
    #[arg(long, env = "QUORATE_BACKUP_S3_CHECKSUM", value_enum, default_value_t)]
    s3_checksum: S3Checksum,
    /// PEM file of authorities to trust instead of the system's
    #[arg(long, env = "QUORATE_BACKUP_S3_CACERT")]
    s3_cacert: Option<PathBuf>,
    /// File whose first line is the access key id
    #[arg(
        long,
        env = "QUORATE_BACKUP_S3_ACCESS_KEY_ID_FILE",
        requires = "s3_secret_access_key_file"
    )]
    s3_access_key_id_file: Option<PathBuf>,
    /// File whose first line is the secret access key
    #[arg(
        long,
        env = "QUORATE_BACKUP_S3_SECRET_ACCESS_KEY_FILE",
        requires = "s3_access_key_id_file"
    )]
    s3_secret_access_key_file: Option<PathBuf>,
}

impl S3Flags {
    fn options(&self) -> Result<S3Options> {
        if let Some(endpoint) = &self.s3_endpoint
            && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
        {
            return Err(AgentError::configuration(
                format!("S3 endpoint \"{endpoint}\" is not a URL"),
                "Give --s3-endpoint http://host:port or https://host.",
            ));
        }
        let id_file = self.s3_access_key_id_file.clone();
        Ok(S3Options {
            endpoint: self.s3_endpoint.clone(),
            region: self.s3_region.clone(),
            path_style: self.s3_path_style,
            sse: self.s3_sse.clone(),
            sse_kms_key_id: self.s3_sse_kms_key_id.clone(),
            checksum: self.s3_checksum,
            ca_file: self.s3_cacert.clone(),
            key_files: id_file.zip(self.s3_secret_access_key_file.clone()),
        })
    }
}

/// How a backup is taken.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Backup")]
pub struct TakeFlags {
    /// Directory for the local copy while it is verified and uploaded
    #[arg(long, env = "QUORATE_BACKUP_SPOOL_DIR", default_value_os_t = std::env::temp_dir())]
    pub spool_dir: PathBuf,
    /// What is read back after the upload
    #[arg(long, env = "QUORATE_BACKUP_VERIFY", value_enum, default_value_t)]
    pub verify: ReadBack,
}

impl TakeFlags {
    /// As the pipeline wants it.
    pub fn options(&self) -> TakeOptions {
        TakeOptions { spool_dir: self.spool_dir.clone(), read_back: self.verify }
    }
}

/// The keep rules.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Retention")]
pub struct RetentionFlags {
    /// Keep the newest N
    #[arg(long, env = "QUORATE_BACKUP_KEEP_LAST", default_value_t = 0, value_name = "N")]
    pub keep_last: u32,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, env = "QUORATE_BACKUP_KEEP_HOURLY", default_value_t = 0, value_name = "N")]
    pub keep_hourly: u32,
    /// Keep the newest of each of the last N days (UTC) that have one
    #[arg(long, env = "QUORATE_BACKUP_KEEP_DAILY", default_value_t = 0, value_name = "N")]
    pub keep_daily: u32,
    /// Keep the newest of each of the last N ISO weeks that have one
    #[arg(long, env = "QUORATE_BACKUP_KEEP_WEEKLY", default_value_t = 0, value_name = "N")]
    pub keep_weekly: u32,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, env = "QUORATE_BACKUP_KEEP_MONTHLY", default_value_t = 0, value_name = "N")]
    pub keep_monthly: u32,
    /// Keep everything younger than this, for example "36h" or "7d 12h"
    #[arg(long, env = "QUORATE_BACKUP_KEEP_WITHIN", value_name = "DURATION", value_parser = parse_duration)]
    pub keep_within: Option<SignedDuration>,
    /// Days a backup that another member contradicted is kept as evidence
    #[arg(long, env = "QUORATE_BACKUP_KEEP_DISPUTED_DAYS", default_value_t = 30, value_name = "N")]
    pub keep_disputed_days: u32,
}

impl RetentionFlags {
    /// As the planner wants it.
    pub fn policy(&self) -> RetentionPolicy {
        RetentionPolicy {
            keep_last: self.keep_last,
            keep_hourly: self.keep_hourly,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_within: self.keep_within,
            keep_disputed_days: self.keep_disputed_days,
        }
    }
}

/// Reads `90s`, `36h`, `7d 12h`; a day has 24 hours.
pub fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let span: jiff::Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let duration = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|error| error.to_string())?;
    if duration.is_negative() { Err("is negative".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Durations read as people write them.
    #[test]
    fn reads_durations() {
        let hours = |text: &str| parse_duration(text).map(|duration| duration.as_hours());
        assert_eq!(hours("36h"), Ok(36));
        assert_eq!(hours("7d 12h"), Ok(180));
        assert!(hours("-1h").is_err() && hours("soon").is_err());
    }
}
