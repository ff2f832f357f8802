//! Authentication and permissions of running members, beside those of real etcd 3.7.1.

mod changes;
mod client;
mod etcdctl;
mod files;
mod jwt;
mod lagging;
mod matrix;
mod members;
mod observe;
mod pair;
mod range_fuzz;
mod secrets;
mod watch;
