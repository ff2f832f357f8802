//! The flags of every command. No logic.

use clap::Args;
use std::time::Duration;

/// Marks the flags of every command.
pub const HEADING: &str = "Global options";

/// See the file's header.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = HEADING)]
pub struct Global {
    /// Members to ask, comma-separated; a scheme is optional (http, https, unix, unixs)
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:2379")]
    pub endpoints: Vec<String>,

    /// Output format: simple, json, fields, protobuf or table
    #[arg(short, long, visible_alias = "output", global = true, default_value = "simple")]
    pub write_out: String,

    /// Show keys, values and ids in hexadecimal
    #[arg(long, global = true)]
    pub hex: bool,

    /// Limit for making a connection
    #[arg(long, global = true, default_value = "2s", value_parser = super::duration)]
    pub dial_timeout: Duration,

    /// Limit for a command that does not wait by its nature
    #[arg(long, global = true, value_parser = super::duration)]
    pub command_timeout: Option<Duration>,

    /// Pause between pings on a connection in use (at least 10s are kept)
    #[arg(long, global = true, default_value = "2s", value_parser = super::duration)]
    pub keepalive_time: Duration,

    /// How long a ping may stay unanswered
    #[arg(long, global = true, default_value = "6s", value_parser = super::duration)]
    pub keepalive_timeout: Duration,

    /// Largest request in bytes; 0 means 2 MiB
    #[arg(long, global = true, default_value = "0", value_parser = super::int)]
    pub max_request_bytes: i64,

    /// Largest answer in bytes; 0 means 2 GiB
    #[arg(long, global = true, default_value = "0", value_parser = super::int)]
    pub max_recv_bytes: i64,

    /// Speak without TLS to endpoints that have no scheme
    #[arg(long, global = true, default_value = "true", action = clap::ArgAction::Set)]
    pub insecure_transport: bool,

    /// Accept any server certificate. Only for tests and rescue work
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,

    /// Client certificate (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<String>,

    /// Key of the client certificate (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<String>,

    /// Authorities that may sign the servers' certificates (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub cacert: Option<String>,

    /// User name, or name:password; without a password it is asked for
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub user: String,

    /// Password of the user. Other users of this machine can see arguments: prefer the prompt
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub password: String,

    /// A token (JWT) instead of user and password
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub auth_jwt_token: String,

    /// Domain whose SRV records name the endpoints
    #[arg(short, long, global = true, default_value = "", hide_default_value = true)]
    pub discovery_srv: String,

    /// Service name for SRV records
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub discovery_srv_name: String,

    /// Accept SRV records of members without TLS
    #[arg(long, global = true, default_value = "true", action = clap::ArgAction::Set)]
    pub insecure_discovery: bool,

    /// Show the settings in effect
    #[arg(long, global = true)]
    pub debug: bool,
}

impl Global {
    /// The command timeout in effect.
    pub fn command_timeout(&self) -> Duration {
        self.command_timeout.unwrap_or(Duration::from_secs(5))
    }
}
