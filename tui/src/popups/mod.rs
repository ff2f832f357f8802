//! Popups: framed text over a screen, scrolled by the arrow keys. One file per popup makes its lines.

mod alarms;
mod finding;
mod frame;
mod help;
mod member;
mod value;

pub use frame::draw;
pub use value::printable;

use frame::{Content, field, paragraph};
