//! What can happen to the dashboard, and what it can ask the outside to do.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::KeyEvent;
use quorate_client::model::ClusterSnapshot;

use super::{KeyPage, KeyValue};

/// Something happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size; the next drawing looks at it.
    Resized,
    /// A new picture of the cluster.
    Snapshot(Arc<ClusterSnapshot>),
    /// A page of keys was read, or the reason why not.
    KeyPage(Result<KeyPage, String>),
    /// A value was read, or the reason why not.
    KeyValue(Result<KeyValue, String>),
}

/// Something the outside shall do. None of them is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// End the program.
    Quit,
    /// Give the terminal back until the shell continues us.
    Suspend,
    /// Ask all members now.
    Refresh,
    /// Ask at another interval.
    SetInterval(Duration),
    /// Stop asking, or go on.
    SetPaused(bool),
    /// Read a page of keys.
    ReadKeys {
        /// Told back with the page, so that a late answer is recognised.
        ticket: u64,
        /// All keys of the page begin with it.
        prefix: Vec<u8>,
        /// The first key of the page; keys before it are left out.
        from: Vec<u8>,
    },
    /// Read one value.
    ReadValue {
        /// Told back with the value.
        ticket: u64,
        /// The key.
        key: Vec<u8>,
    },
}
