//! Whole members as real processes, broken on purpose: killed, cut off, paused, told to stop, started on bad input. What
//! clients were told is written down and judged afterwards. What works while nothing is broken is the `it` suite's part.
//!
//! `FAULT_SEED=N` repeats the choices of a run. The partitions need root (network namespaces).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ask;
mod bad_start;
mod crash;
mod handover;
mod history;
mod journal;
mod linearizable;
mod load;
mod namespaces;
mod partition;
mod pause;
mod power_loss;
mod stage;
