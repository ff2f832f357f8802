//! What the operator asked for: flags, environment, checks. Opens nothing but the configuration file; the node acts on
//! the result.

mod auth_token;
mod checks;
mod defence;
mod discovery;
mod duration;
mod file;
mod flags;
mod gates;
mod log;
mod old_spellings;
mod parse;
mod reader;
mod security;
mod urls;

pub use auth_token::{AuthToken, parse_auth_token};
pub use checks::{Config, ConfigError};
pub use defence::Defence;
pub use discovery::{Discovery, DiscoveryService};
pub use duration::parse_duration;
pub use flags::{FLAGS, Flag, Kind, Support};
pub use gates::FeatureGates;
pub use log::{LogConfig, LogOutput, Rotation};
pub use parse::{Invocation, RestoreArgs, Source, parse};
pub use security::{DoorSecurity, Security, TlsVersion};
pub use urls::{ListenUrl, UrlError, parse_url_list};
