//! The doors for clients: a file per RPC family, the pages over HTTP, and what serves their connections.
//!
//! Each handler is four steps: check, call, map the error, fill the header. Nothing here changes state except by
//! proposing.

mod authority;
mod body;
mod checks;
mod cluster;
mod context;
mod door;
mod election;
mod forward;
mod health;
mod kv;
mod leaderless;
mod lease;
mod lock;
mod maintenance;
mod methods;
mod pages;
mod range_stream;
mod serve;
mod services;
mod snapshot;
mod status;
mod turn;
mod watch;
mod watch_codec;

pub use context::{Context, Limits, SharedContext};
pub use door::Door;
pub use forward::Forwarded;
pub use serve::{Bound, Listener, ServeOptions, Shards};
