//! The commands, one file per noun: its arguments, its checks, its calls. Printing is `print`'s, connecting
//! `connect`'s. Only `dispatch` knows all of them.

pub mod alarm;
pub mod auth;
pub mod check;
pub mod compaction;
pub mod completion;
pub mod data_dir;
pub mod defrag;
pub mod del;
pub mod downgrade;
pub mod elect;
pub mod endpoint;
pub mod generate;
pub mod get;
pub mod lease;
pub mod lock;
pub mod make_mirror;
pub mod member;
pub mod move_leader;
pub mod options;
pub mod put;
pub mod role;
pub mod snapshot;
pub mod snapshot_file;
pub mod txn;
mod txn_input;
pub mod user;
pub mod version;
pub mod watch;

mod contest;
mod dispatch;
mod guard;
mod key;

pub use dispatch::{run, run_utl};
