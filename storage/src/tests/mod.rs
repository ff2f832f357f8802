//! Suites over the whole room. Tests of one file lie in that file.

mod backend;
mod conformance;
mod model;
mod power_loss;
mod power_loss_process;
mod refusal;
