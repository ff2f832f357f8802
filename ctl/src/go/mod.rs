//! How Go writes and reads small things: quoted strings, durations, numbers, sizes,
//! the ends of programs.
//!
//! Scripts compare etcdctl's output byte for byte, and Go's own formats are part of it. Nothing here knows of etcd.

mod duration;
mod exit;
mod io_text;
mod number;
mod quote;
mod size;

pub use duration::{format_duration, parse_duration};
pub use exit::exit_text;
pub use io_text::io_text;
pub use number::{parse_bool, parse_int, parse_uint};
pub use quote::{quote, unquote_prefix};
pub use size::format_size;
