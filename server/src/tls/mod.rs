//! TLS of the doors and of calls to peers: whose certificate is taken, which files are read again, handshakes.
//!
//! It knows sockets and certificates, and neither HTTP nor flags. Behaviour follows `reference/etcd-api.md`, section 18;
//! that authorities and revocation lists are read again as certificates are is ours.

mod accept;
mod certificate;
mod dial;
mod error;
mod keeper;
mod material;
mod options;
mod refusal;
mod revocation;
mod self_signed;
mod suites;
mod unverified;
mod verify;

pub use accept::{Acceptor, Admitted, Peek, Socket};
pub use dial::{DialError, TlsDialer};
pub use error::TlsError;
pub use keeper::TlsKeeper;
pub use options::{Allowed, Pair, TlsOptions, Version};
pub use self_signed::make_self_signed;
pub use unverified::UnverifiedDialer;
