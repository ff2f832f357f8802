//! Answers in the five output formats: one file per format, each a match over the same [`Answer`].
//!
//! A printer prints what it is given and decides nothing else. Formats that have no form for an answer say
//! `… not supported as output format`, as etcdctl does, after the request was done.

mod answer;
mod fields;
mod json;
mod json_object;
mod printer;
mod protobuf;
mod simple;
mod table;

pub use answer::{Answer, EndpointHash, EndpointHealth, EndpointStatus};
pub use printer::{Format, Printer};
pub use simple::interval;
