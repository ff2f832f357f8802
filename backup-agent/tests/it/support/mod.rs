//! The real parts the tests run against.

mod agent;
mod etcd;
mod s3;

pub use agent::Agent;
pub use etcd::{Cluster, QUORATE, client, get_all, put_many, server_binary, tool};
pub use s3::{BUCKET, Fault, S3Server};
