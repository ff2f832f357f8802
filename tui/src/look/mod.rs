//! How things look: colours by meaning, symbols by terminal, figures by kind.

mod draw;
mod quantity;
mod symbols;
mod theme;

pub use draw::{Align, Area, clip, wrap};
pub use quantity::{ago, bytes, count, milliseconds, percent, rate};
pub use symbols::Symbols;
pub use theme::Theme;

/// Everything a drawing function needs besides the facts.
#[derive(Debug, Clone)]
pub struct Look {
    /// Styles by meaning.
    pub theme: Theme,
    /// Symbols the terminal can show.
    pub symbols: Symbols,
}

impl Look {
    /// The look for this terminal.
    pub fn new(has_colour: bool, is_utf8: bool) -> Self {
        Self {
            theme: if has_colour { Theme::coloured() } else { Theme::plain() },
            symbols: if is_utf8 { Symbols::UTF8 } else { Symbols::ASCII },
        }
    }
}
