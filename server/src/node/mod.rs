//! A member from start to stop: data directory, state, log, doors, background loops, and back in reverse.

mod background;
mod data_dir;
mod discovery;
mod doors;
mod error;
mod force_new;
mod forwarding;
mod join;
mod login;
mod observer;
mod peer_door;
mod restore;
mod run;
mod signals;
mod srv;
mod state;
mod stop;
mod systemd;
mod takeover;

pub use error::NodeError;
pub use restore::restore;
pub use run::run;
pub use signals::StopSignal;
