//! Symbols, for terminals with UTF-8 and for those without.

use ratatui::symbols::border;
use ratatui::widgets::BorderType;

/// The symbols of one kind of terminal. Each is one column wide, except where said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbols {
    /// Well.
    pub good: &'static str,
    /// Warning or impaired.
    pub warning: &'static str,
    /// Critical or down.
    pub critical: &'static str,
    /// Worth knowing.
    pub info: &'static str,
    /// Not known yet.
    pub waiting: &'static str,
    /// The selected row.
    pub selected: &'static str,
    /// A figure that is not known.
    pub unknown: &'static str,
    /// Before a figure that is not fresh.
    pub stale: &'static str,
    /// Before advice.
    pub advice: &'static str,
    /// Where text was cut.
    pub cut: &'static str,
    /// A horizontal rule.
    pub rule: &'static str,
    /// Between items of a line.
    pub dot: &'static str,
    /// Part of a bar: in use.
    pub bar_used: &'static str,
    /// Part of a bar: taken from the disk but free.
    pub bar_free: &'static str,
    /// Part of a bar: not taken.
    pub bar_rest: &'static str,
    /// Levels of a chart, from nothing to the highest.
    pub levels: [&'static str; 8],
    /// Names of the arrow keys.
    pub arrows: &'static str,
    /// The border of popups.
    pub border: border::Set<'static>,
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Symbols {
    /// For terminals with UTF-8. Only characters that fonts have and that are one column wide everywhere.
    pub const UTF8: Self = Self {
        good: "●",
        warning: "▲",
        critical: "✖",
        info: "◆",
        waiting: "○",
        selected: "▸",
        unknown: "–",
        stale: "~",
        advice: "→",
        cut: "…",
        rule: "─",
        dot: "·",
        bar_used: "█",
        bar_free: "▒",
        bar_rest: "░",
        levels: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
        arrows: "↑↓",
        border: BorderType::Rounded.to_border_set(),
    };

    /// For terminals without.
    pub const ASCII: Self = Self {
        good: "*",
        warning: "!",
        critical: "X",
        info: "i",
        waiting: "o",
        selected: ">",
        unknown: "-",
        stale: "~",
        advice: "->",
        cut: "~",
        rule: "-",
        dot: "|",
        bar_used: "#",
        bar_free: "+",
        bar_rest: ".",
        levels: ["_", ".", ":", "-", "=", "+", "*", "#"],
        arrows: "up/down",
        border: ASCII_BORDER,
    };
}
