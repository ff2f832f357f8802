//! Whole clusters of real server processes on loopback, of Quorate or of etcd: started, watched, broken and stopped.
//! What `xtask` and the test suites share. It knows processes, ports and `/proc`, and nothing of gRPC.

mod clients;
mod dns;
mod layout;
mod pki;
mod port;
mod process;
mod reference;
mod usage;

pub use clients::Client;
pub use dns::{Dns, Service};
pub use layout::{Cluster, Member, Plan};
pub use pki::{Leaf, Pair, Pki};
pub use port::free_ports;
pub use process::Process;
pub use reference::{Version, reference};
pub use usage::Usage;
