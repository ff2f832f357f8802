//! The dashboard's state and how it changes. Pure: messages in, effects out; no terminal, no network, no clock.

mod browse;
mod message;
mod state;
mod trend;
mod update;

pub use browse::{KeyBrowser, KeyPage, KeyRow, KeyValue, PAGE_KEYS};
pub use message::{Effect, Message};
pub use state::{App, Pane, Popup, Screen, Settings};
pub use trend::{Sample, Trend};
pub use update::update;

#[cfg(test)]
mod tests;
