//! What the operator asked for: flags, environment, checks. Opens nothing; the node acts on the result.

mod auth_token;
mod checks;
mod duration;
mod flags;
mod parse;
mod security;
mod urls;

pub use auth_token::{AuthToken, parse_auth_token};
pub use checks::{Config, ConfigError};
pub use duration::parse_duration;
pub use flags::{FLAGS, Flag, Kind, Support};
pub use parse::{Invocation, RestoreArgs, Source, parse};
pub use security::{DoorSecurity, Security, TlsVersion};
pub use urls::{ListenUrl, UrlError, parse_url_list};
