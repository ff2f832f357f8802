//! The dashboard an operator keeps open, for Quorate and for etcd 3.4 to 3.7.
//!
//! ```text
//! terminal events ─┐                              ┌─► screens, popups  (state → cells, pure)
//! cluster pictures ├─► app::update(state, message)┤
//! key pages ───────┘        (pure)                └─► effects ─► workers (own the connections)
//! ```
//! `run` is the only loop. It never awaits the network: workers send messages, so keys answer while members are down.
//! The dashboard only reads; it changes nothing in a cluster.

pub mod app;
pub mod cli;
pub mod keymap;
pub mod look;
pub mod once;
pub mod popups;
pub mod run;
pub mod screens;
pub mod terminal;
pub mod worker;
