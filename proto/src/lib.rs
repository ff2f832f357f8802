//! Wire messages of etcd v3.7.1 and of Quorate's own peer traffic, and the table of client-visible errors.
//!
//! Generated from `proto/*.proto`, whose package names, field numbers and types are etcd's. No logic lives here
//! beyond what both server and tools must agree on: [`errors`].

pub mod errors;
mod secrets;

/// All messages and services as an encoded `google.protobuf.FileDescriptorSet`: what the JSON gateway is driven by.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Includes one generated package; its items are documented in the `.proto` files.
macro_rules! package {
    ($name:ident, $file:literal) => {
        #[allow(missing_docs, clippy::all, rust_2018_idioms, rustdoc::all)]
        pub mod $name {
            tonic::include_proto!($file);
        }
    };
}

package!(mvccpb, "mvccpb");
package!(authpb, "authpb");
package!(leasepb, "leasepb");
package!(membershippb, "membershippb");
package!(etcdserverpb, "etcdserverpb");
package!(v3lockpb, "v3lockpb");
package!(v3electionpb, "v3electionpb");
package!(raftpb, "raftpb");
package!(walpb, "walpb");
package!(snappb, "snappb");
package!(quoratepb, "quoratepb");
