//! The doors against real processes: TLS in both directions, certificates that change, and input that means harm. Who
//! calls is real etcdctl, curl, openssl, or bare sockets; where etcd 3.7.1 has an answer, it is asked too.
#![allow(missing_docs)]
// Helpers of tests may end a test as tests themselves may.
#![allow(clippy::unwrap_used)]

mod abuse;
mod announced;
mod ask;
mod calls;
mod clients;
mod compressed;
mod crowd;
mod floods;
mod gateway_http2;
mod names;
mod passwords;
mod refusals;
mod rotation;
mod start;
mod tools;
mod wire;
