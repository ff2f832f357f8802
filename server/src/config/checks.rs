//! From raw values to a checked [`Config`]; every refusal says which flag is wrong and what it must be.

use super::parse::Values;
use super::reader::{Reader, one_of};
use super::security::Security;
use super::{
    AuthToken, Defence, Discovery, FeatureGates, ListenUrl, LogConfig, UrlError, parse_auth_token,
};
use quorate_etcd_files::datadir::{InitialCluster, InitialUrls};
use std::path::PathBuf;
use std::time::Duration;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// clap's own text: unknown flag, stray argument, missing value.
    #[error("{0}")]
    Syntax(String),
    /// A value of the wrong shape.
    #[error("invalid value {value:?} for --{flag}: {expected}")]
    Malformed {
        /// Flag without dashes.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Given twice.
    #[error(
        "conflicting environment variable {0:?} is shadowed by corresponding command-line flag \
         (either unset environment variable or disable flag)"
    )]
    Shadowed(String),
    /// The configuration file.
    #[error("configuration file {}: {reason}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A URL list.
    #[error("invalid --{0}: {1}")]
    Urls(&'static str, #[source] UrlError),
    /// Values that do not fit together.
    #[error("{0}")]
    Contradiction(String),
}

impl ConfigError {
    /// A value of the wrong shape for a number.
    pub fn malformed(flag: &'static str, value: &str) -> ConfigError {
        ConfigError::Malformed {
            flag,
            value: value.to_owned(),
            expected: "a whole number is needed",
        }
    }

    /// Exit code: 2 for syntax as Go's flag package, 1 for the rest.
    pub fn exit_code(&self) -> i32 {
        if matches!(self, ConfigError::Syntax(_)) { 2 } else { 1 }
    }
}

/// A checked configuration. Field names are those of the flags.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Config {
    pub name: String,
    pub data_dir: PathBuf,
    pub wal_dir: Option<PathBuf>,
    pub snapshot_count: u64,
    pub snapshot_catchup_entries: u64,
    pub heartbeat: Duration,
    pub election: Duration,
    pub initial_election_tick_advance: bool,
    pub listen_peer_urls: Vec<ListenUrl>,
    pub listen_client_urls: Vec<ListenUrl>,
    pub listen_client_http_urls: Vec<ListenUrl>,
    pub listen_metrics_urls: Vec<ListenUrl>,
    pub security: Security,
    pub initial_advertise_peer_urls: Vec<ListenUrl>,
    pub advertise_client_urls: Vec<ListenUrl>,
    pub initial_cluster: InitialUrls,
    pub initial_cluster_is_new: bool,
    pub initial_cluster_token: String,
    pub wals_max: usize,
    pub quota_bytes: i64,
    pub flush_interval: Duration,
    pub flush_rows: usize,
    pub txn_ops_max: usize,
    pub request_bytes_max: usize,
    pub concurrent_streams_max: u32,
    pub grpc_keepalive_min_time: Duration,
    pub grpc_keepalive_interval: Duration,
    pub grpc_keepalive_timeout: Duration,
    pub socket_reuse_port: bool,
    pub storage_engine: String,
    pub strict_reconfig_check: bool,
    pub pre_vote: bool,
    pub auto_compaction_mode: String,
    pub auto_compaction_retention: String,
    pub metrics_extensive: bool,
    pub log: LogConfig,
    pub warning_unary_request_duration: Duration,
    pub warning_apply_duration: Duration,
    pub compaction_batch_limit: usize,
    pub compaction_sleep_interval: Duration,
    pub watch_progress_notify_interval: Duration,
    pub bootstrap_defrag_threshold_bytes: u64,
    pub learners_max: usize,
    pub force_new_cluster: bool,
    pub unsafe_no_fsync: bool,
    pub feature_gates: FeatureGates,
    pub defence: Defence,
    pub discovery: Option<Discovery>,
    pub auth_token: AuthToken,
    pub bcrypt_cost: u32,
    pub auth_token_ttl: Duration,
    pub http: HttpConfig,
}

/// What is served beside gRPC, and to whom. Field names are those of the flags.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct HttpConfig {
    pub enable_grpc_gateway: bool,
    pub cors: Vec<String>,
    pub host_whitelist: Vec<String>,
}

fn data_dir(read: &Reader<'_>, name: &str) -> PathBuf {
    match read.text("data-dir") {
        dir if dir.is_empty() => PathBuf::from(format!("{name}.etcd")),
        dir => PathBuf::from(dir),
    }
}

fn check_advertised(read: &Reader<'_>) -> Result<(), ConfigError> {
    // etcd looks at each flag's shape before it compares any.
    read.urls("listen-client-urls")?;
    if read.is_given("listen-client-urls") && !read.is_given("advertise-client-urls") {
        let text =
            "--advertise-client-urls is required when --listen-client-urls is set explicitly";
        return Err(ConfigError::Contradiction(text.to_owned()));
    }
    Ok(())
}

fn http(read: &Reader<'_>) -> Result<HttpConfig, ConfigError> {
    Ok(HttpConfig {
        enable_grpc_gateway: read.switch("enable-grpc-gateway")?,
        cors: read.origins("cors")?,
        host_whitelist: read.list("host-whitelist"),
    })
}

impl Config {
    /// Checks raw values and fills in what depends on other values.
    ///
    /// # Errors
    /// The first value that etcd would refuse.
    pub fn from_values(values: &Values) -> Result<Config, ConfigError> {
        let read = Reader(values);
        let name = read.text("name");
        let advertise_peer = read.urls("initial-advertise-peer-urls")?;
        let initial_cluster = initial_cluster(&read, &name, &advertise_peer)?;
        check_advertised(&read)?;
        let (heartbeat, election) = timers(&read)?;
        let quota: i64 = read.number("quota-backend-bytes")?;
        let progress = read.time_or("watch-progress-notify-interval", Duration::from_secs(600))?;
        let feature_gates = FeatureGates::read(&read)?;
        let defrag_megabytes: u64 = read.number("bootstrap-defrag-threshold-megabytes")?;
        let config = Config {
            data_dir: data_dir(&read, &name),
            wal_dir: read.path("wal-dir"),
            snapshot_count: read.number("snapshot-count")?,
            snapshot_catchup_entries: read.number("snapshot-catchup-entries")?,
            heartbeat,
            election,
            initial_election_tick_advance: read.switch("initial-election-tick-advance")?,
            listen_peer_urls: read.listen_urls("listen-peer-urls")?,
            listen_client_urls: read.listen_urls("listen-client-urls")?,
            listen_client_http_urls: read.listen_urls_or_none("listen-client-http-urls")?,
            listen_metrics_urls: read.listen_urls_or_none("listen-metrics-urls")?,
            security: Security::read(&read)?,
            initial_advertise_peer_urls: advertise_peer,
            advertise_client_urls: read.urls("advertise-client-urls")?,
            initial_cluster,
            initial_cluster_is_new: one_of(&read, "initial-cluster-state", ["new", "existing"])?
                == "new",
            initial_cluster_token: read.text("initial-cluster-token"),
            wals_max: read.number("max-wals")?,
            quota_bytes: if quota == 0 { crate::types::QUOTA_BYTES_DEFAULT } else { quota },
            flush_interval: read.time_or("backend-batch-interval", Duration::from_millis(100))?,
            flush_rows: read.number_or("backend-batch-limit", 10_000)?,
            txn_ops_max: read.number("max-txn-ops")?,
            request_bytes_max: read.number("max-request-bytes")?,
            concurrent_streams_max: read.number("max-concurrent-streams")?,
            grpc_keepalive_min_time: read.time("grpc-keepalive-min-time")?,
            grpc_keepalive_interval: read.time("grpc-keepalive-interval")?,
            grpc_keepalive_timeout: read.time("grpc-keepalive-timeout")?,
            socket_reuse_port: read.switch("socket-reuse-port")?,
            storage_engine: one_of(&read, "storage-engine", ["redb", "sled"])?,
            strict_reconfig_check: read.switch("strict-reconfig-check")?,
            pre_vote: read.switch("pre-vote")?,
            auto_compaction_mode: one_of(&read, "auto-compaction-mode", ["periodic", "revision"])?,
            auto_compaction_retention: read.text("auto-compaction-retention"),
            // etcd takes any other word for basic.
            metrics_extensive: read.text("metrics") == "extensive",
            log: LogConfig::read(&read)?,
            warning_unary_request_duration: read.time("warning-unary-request-duration")?,
            warning_apply_duration: read.time("warning-apply-duration")?,
            compaction_batch_limit: read.number_or("compaction-batch-limit", 1000)?,
            compaction_sleep_interval: read
                .time_or("compaction-sleep-interval", Duration::from_millis(10))?,
            watch_progress_notify_interval: progress.max(Duration::from_millis(100)),
            bootstrap_defrag_threshold_bytes: defrag_megabytes.saturating_mul(1 << 20),
            learners_max: read.number("max-learners")?,
            force_new_cluster: read.switch("force-new-cluster")?,
            unsafe_no_fsync: read.switch("unsafe-no-fsync")?,
            defence: Defence::read(&read, &feature_gates)?,
            discovery: Discovery::read(&read)?,
            feature_gates,
            auth_token: parse_auth_token(&read.text("auth-token"))?,
            bcrypt_cost: read.number("bcrypt-cost")?,
            auth_token_ttl: Duration::from_secs(read.number_or("auth-token-ttl", 300)? as u64),
            http: http(&read)?,
            name,
        };
        config.check_urls()?;
        Ok(config)
    }

    fn check_urls(&self) -> Result<(), ConfigError> {
        self.security.check_urls(
            &self.listen_peer_urls,
            &self.listen_client_urls,
            &self.listen_client_http_urls,
            &self.listen_metrics_urls,
        )
    }

    /// Time a write waits for its answer: 5 s and two elections.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election
    }

    /// Smallest TTL in seconds that a lease is granted: one and a half elections, rounded up.
    pub fn lease_ttl_min(&self) -> i64 {
        let millis = self.election.as_millis() as i64 * 3 / 2;
        (millis + 999) / 1000
    }

    /// Directory of the log.
    pub fn wal_path(&self) -> PathBuf {
        self.wal_dir.clone().unwrap_or_else(|| self.data_dir.join("member").join("wal"))
    }

    /// Directory of the state.
    pub fn state_path(&self) -> PathBuf {
        self.data_dir.join("member").join("snap")
    }
}

fn timers(read: &Reader<'_>) -> Result<(Duration, Duration), ConfigError> {
    let heartbeat: u64 = read.number("heartbeat-interval")?;
    let election: u64 = read.number("election-timeout")?;
    if heartbeat == 0 || election == 0 {
        let text = "--heartbeat-interval and --election-timeout must be >0 (set in milliseconds)";
        return Err(ConfigError::Contradiction(text.to_owned()));
    }
    if 5 * heartbeat > election {
        let text = format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        );
        return Err(ConfigError::Contradiction(text));
    }
    if election > 50_000 {
        let text = format!(
            "--election-timeout[{election}ms] is too long, and should be set less than 50000ms"
        );
        return Err(ConfigError::Contradiction(text));
    }
    Ok((Duration::from_millis(heartbeat), Duration::from_millis(election)))
}

fn initial_cluster(
    read: &Reader<'_>,
    name: &str,
    advertise_peer: &[ListenUrl],
) -> Result<InitialUrls, ConfigError> {
    let text = read.text("initial-cluster");
    if text.is_empty() {
        let mut urls: Vec<_> = advertise_peer.iter().map(ToString::to_string).collect();
        urls.sort();
        return Ok(InitialUrls::from([(name.to_owned(), urls)]));
    }
    let refused = |error| ConfigError::Contradiction(format!("invalid --initial-cluster: {error}"));
    InitialCluster::parse(&text).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, parse};
    use super::*;

    fn config(args: &[&str]) -> Result<Config, ConfigError> {
        match parse(args.iter().map(|s| (*s).to_owned()), [])? {
            Invocation::Serve(values, _) => Config::from_values(&values),
            other => panic!("not a serve: {other:?}"),
        }
    }

    /// Without flags the defaults of etcd hold, and the initial cluster follows name and advertised URLs.
    #[test]
    fn defaults() {
        let config = config(&["--name", "m1"]).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("m1.etcd"));
        let url = vec!["http://localhost:2380".to_owned()];
        assert_eq!(config.initial_cluster.get("m1"), Some(&url));
        assert_eq!(config.request_timeout(), Duration::from_secs(7));
        assert_eq!(config.lease_ttl_min(), 2);
        assert_eq!(config.quota_bytes, 2 << 30);
    }

    /// Values that do not fit together are refused with etcd's texts.
    #[test]
    fn contradictions() {
        for (args, text) in [
            (vec!["--heartbeat-interval=300"], "at least as 5 times"),
            (
                vec!["--listen-client-urls=http://127.0.0.1:1"],
                "--advertise-client-urls is required",
            ),
            (vec!["--initial-cluster-state=old"], "new or existing"),
            (vec!["--listen-peer-urls=http://example.com:1"], "expected IP in URL for binding"),
            (vec!["--snapshot-count=x"], "whole number"),
        ] {
            let error = config(&args).unwrap_err().to_string();
            assert!(error.contains(text), "{args:?}: {error}");
        }
    }
}
