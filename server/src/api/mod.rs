//! The doors for clients: a file per RPC family, the pages over HTTP, and what serves their connections.
//!
//! Each handler is four steps: check, call, map the error, fill the header. Nothing here changes state except by
//! proposing.

mod access;
mod auth;
mod auth_caller;
mod auth_passwords;
mod authority;
mod body;
mod budget;
mod call_counters;
mod checks;
mod cluster;
mod conduct;
mod context;
mod door;
mod election;
mod forward;
mod gateway;
mod health;
mod http2_debug;
mod identity;
mod intake;
mod jwt;
#[cfg(test)]
mod jwt_tests;
mod kv;
mod leaderless;
mod lease;
mod lock;
mod maintenance;
mod methods;
mod pages;
mod password;
mod range_stream;
mod scrape;
mod serve;
mod services;
mod snapshot;
mod status;
mod turn;
mod unread;
mod vars;
mod watch;
mod watch_codec;
mod watch_rights;

pub use auth_caller::{LoginOptions, TokenKind};
pub use auth_passwords::Passwords;
pub use budget::AnswerBudget;
pub use cluster::{is_in_sync, promote_learner};
pub use context::{Context, HttpOptions, Limits, SharedContext};
pub use door::{Door, Serves};
pub use forward::Forwarded;
pub use identity::CertificateName;
pub use intake::Intake;
pub use jwt::{Jwt, JwtError, JwtOptions};
pub use password::{COST_DEFAULT, COST_MAX, COST_MIN};
pub use serve::{Bound, Listener, Opening, ServeOptions, Shards};
