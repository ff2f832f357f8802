//! What a client is told before it connects: endpoints, limits, credentials, TLS. No I/O.
//!
//! The defaults are those of etcdctl 3.7.1 (`etcd:client/v3/config.go`, `etcdctl/ctlv3/command/global.go`).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Largest request sent unless configured: etcd's client refuses more than 2 MiB.
pub const SEND_LIMIT_BYTES: usize = 2 * 1024 * 1024;

/// Largest answer accepted unless configured: 2^31 - 1, so a big range is never cut by the client.
pub const RECEIVE_LIMIT_BYTES: usize = i32::MAX as usize;

/// Everything a [`crate::Client`] needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to connect: `host:port`, `http://…`, `https://…`, `unix://path`, `unixs://path`.
    pub endpoints: Vec<String>,
    /// Limit of one connection attempt, TLS handshake included.
    pub dial_timeout: Duration,
    /// Limit of one unary call with all its retries; `None` waits as long as it takes.
    pub request_timeout: Option<Duration>,
    /// Pause between pings on a connection that carries calls. etcd refuses clients that ping more often than every
    /// 5 s and Go's library never goes below 10 s, so lower values are raised to 10 s.
    pub keepalive_time: Duration,
    /// How long a ping may stay unanswered before the connection is given up.
    pub keepalive_timeout: Duration,
    /// Who we are, where the cluster asks for it.
    pub credentials: Option<Credentials>,
    /// TLS files and names. Without them an `https://` endpoint is checked against the system's roots.
    pub tls: Option<Tls>,
    /// Largest request, in bytes.
    pub send_limit_bytes: usize,
    /// Largest answer, in bytes.
    pub receive_limit_bytes: usize,
    /// What to do while no endpoint can be reached.
    pub patience: Patience,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoints: vec!["127.0.0.1:2379".to_owned()],
            dial_timeout: Duration::from_secs(2),
            request_timeout: Some(Duration::from_secs(5)),
            keepalive_time: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(6),
            credentials: None,
            tls: None,
            send_limit_bytes: SEND_LIMIT_BYTES,
            receive_limit_bytes: RECEIVE_LIMIT_BYTES,
            patience: Patience::OneRound,
        }
    }
}

impl Config {
    /// The defaults with these endpoints.
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(endpoints: I) -> Self {
        Config { endpoints: endpoints.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// How long a call goes on trying when endpoints do not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Tries every endpoint once more than it fails and reports the last error: what a dashboard wants.
    OneRound,
    /// Goes on until the request timeout, as etcdctl does.
    UntilTimeout,
}

/// Proof of identity. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Exchanged for a token at the first call and again whenever the token has expired.
    Password {
        /// User name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token made elsewhere (a JWT), sent as it is.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Password { user, .. } => write!(f, "Password({user}, ***)"),
            Credentials::Token(_) => f.write_str("Token(***)"),
        }
    }
}

/// TLS as etcdctl's flags describe it.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM file of the authorities that may sign a server's certificate; `None` means the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of our certificate, with `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of the key of `cert`.
    pub key: Option<PathBuf>,
    /// Name expected in the server's certificate instead of the endpoint's host.
    pub server_name: Option<String>,
    /// Accept any certificate. Only for tests and rescue work.
    pub skip_verify: bool,
}
