//! Whole clusters of real server processes on loopback, of Quorate or of etcd: started, watched, broken and stopped.
//! What `bench`, `demo` and `soak` share. It knows processes, ports and `/proc`, and nothing of gRPC.

mod layout;
mod port;
mod process;
mod usage;

pub use layout::{Cluster, Plan};
pub use port::free_ports;
pub use process::Process;
pub use usage::Usage;
