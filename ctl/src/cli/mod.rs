//! The command line: what may be given ([`Cli`], [`Global`]), read by clap but by the rules of Go's flag library
//! ([`adapt`]), with errors in etcdctl's words ([`complain`]).

mod adapt;
mod complain;
mod environment;
mod global;
mod parse;
mod root;
mod value;

pub use complain::Complaint;
pub use global::Global;
pub use parse::{definition, parse, parse_line, parse_utl};
pub use root::{Cli, Command, Utl, UtlCommand};
pub use value::{duration, int, unsigned};
