//! How things look: colours by meaning, symbols by terminal, figures by kind.

mod draw;
mod quantity;
mod symbols;
mod terminal_look;
mod theme;

pub use draw::{Align, Area, clip, wrap};
pub use quantity::{ago, bytes, count, milliseconds, percent, rate};
pub use symbols::Symbols;
pub use terminal_look::Look;
pub use theme::Theme;
