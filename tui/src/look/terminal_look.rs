//! The look for one terminal: a theme and a set of symbols, chosen once at the start.

use super::{Symbols, Theme};

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
