//! Tests of the backup agent against real parts: real etcd processes, a real S3 server, the agent's own program.

mod backup;
mod recover;
mod restore;
mod s3_store;
mod schedule;
mod support;
