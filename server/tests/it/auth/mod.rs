//! Authentication and permissions of running members, beside those of real etcd 3.7.1.

mod changes;
mod client;
mod etcdctl;
mod files;
mod jwt;
mod matrix;
mod members;
mod pair;
mod secrets;
mod watch;
