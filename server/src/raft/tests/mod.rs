//! Tests of raft as a whole: real log, real threads, several members in one process.

mod cluster;
mod faults;
mod group_commit;
mod machine;
mod members;
mod memory_net;
mod over_grpc;
mod power_loss;
mod single;
