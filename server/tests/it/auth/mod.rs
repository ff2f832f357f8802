//! Authentication and permissions of running members, beside those of real etcd 3.7.1.

mod changes;
mod jwt;
mod matrix;
mod pair;
mod watch;
