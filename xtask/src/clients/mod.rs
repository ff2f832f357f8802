//! `cargo xtask clients`: programs made with other people's client libraries, for the test that runs them against Quorate.
//! Each is made once into the cache and linked beside real etcd; the sources lie in `server/tests/clients`.

mod command;
mod make;

pub use command::{Options, run};
