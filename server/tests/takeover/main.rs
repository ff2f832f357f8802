//! Members of real etcd, stopped or killed, that go on as Quorate: same cluster, same members, nothing lost. Several
//! processes each; `TAKEOVER_ROUNDS` makes the random ones longer (`cargo xtask soak --takeover` does).

// A test that meets an error has failed; helpers around the tests are no different.
#![allow(clippy::unwrap_used, clippy::missing_docs_in_private_items)]

mod accounts;
#[path = "../faults/ask.rs"]
#[allow(dead_code, reason = "shared with the fault suite, which asks for more")]
mod ask;
mod both_ways;
mod broken_off;
mod content;
mod guide;
mod killed;
mod load;
mod lone;
mod stage;
mod state;
mod streamed;
mod three;
