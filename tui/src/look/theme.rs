//! Styles by meaning. A screen never names a colour, and no meaning rests on colour alone: a word or symbol
//! always says the same.

use ratatui::style::{Color, Modifier, Style};

/// A style per meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Running text and figures.
    pub text: Style,
    /// Labels, units, rules: there when looked for.
    pub quiet: Style,
    /// The product's name and titles.
    pub title: Style,
    /// Figures that matter most.
    pub strong: Style,
    /// Well.
    pub good: Style,
    /// One step from trouble.
    pub warning: Style,
    /// Trouble.
    pub critical: Style,
    /// Worth knowing.
    pub info: Style,
    /// The selected row.
    pub selected: Style,
    /// Keys in hints.
    pub key: Style,
    /// What lies behind a popup.
    pub behind: Style,
}

impl Theme {
    /// The sixteen colours every terminal has, chosen to be readable on dark and on light ground.
    pub fn coloured() -> Self {
        let base = Style::new();
        Self {
            text: base,
            // Not the colour "bright black", which some palettes make the same as the ground.
            quiet: base.add_modifier(Modifier::DIM),
            title: base.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            strong: base.add_modifier(Modifier::BOLD),
            good: base.fg(Color::Green),
            warning: base.fg(Color::Yellow).add_modifier(Modifier::BOLD),
            critical: base.fg(Color::Red).add_modifier(Modifier::BOLD),
            info: base.fg(Color::LightBlue),
            selected: base.add_modifier(Modifier::BOLD),
            key: base.fg(Color::Cyan),
            behind: base.add_modifier(Modifier::DIM).remove_modifier(Modifier::BOLD),
        }
    }

    /// No colour at all, for `NO_COLOR`: only modifiers, because crossterm 0.29 turns every colour under `NO_COLOR`
    /// into a full reset, which would take the modifiers away again.
    pub fn plain() -> Self {
        let base = Style::new();
        Self {
            text: base,
            quiet: base.add_modifier(Modifier::DIM),
            title: base.add_modifier(Modifier::BOLD),
            strong: base.add_modifier(Modifier::BOLD),
            good: base,
            warning: base.add_modifier(Modifier::BOLD),
            critical: base.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            info: base,
            selected: base.add_modifier(Modifier::BOLD),
            key: base.add_modifier(Modifier::BOLD),
            behind: base.add_modifier(Modifier::DIM).remove_modifier(Modifier::BOLD),
        }
    }
}
