//! The hint line at the bottom: the keys that work right now.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::app::App;
use crate::keymap::{Context, bindings};
use crate::look::{Area, Look};

/// Draws the line; hints that do not fit are left out whole, the first ones stay.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect) {
    let mut area = Area::new(buffer, rect, &look.symbols);
    let mut hints: Vec<(&str, &str)> = Vec::new();
    if app.keys.typing.is_some() && app.context() == Context::Keys {
        hints.extend([("Enter", "read"), ("Esc", "cancel")]);
    } else {
        let common = [("q", "quit"), ("?", "help")];
        match app.context() {
            Context::Popup => hints.extend([("Esc", "close"), (look.symbols.arrows, "scroll")]),
            Context::Keys => hints.extend([("Esc", "back"), (look.symbols.arrows, "select")]),
            Context::Members => hints.push((look.symbols.arrows, "select")),
        }
        let own = bindings(app.context()).filter(|binding| {
            !binding.hint.is_empty() && !common.iter().any(|c| c.0 == binding.label)
        });
        hints.extend(own.map(|binding| (binding.label, binding.hint)));
        hints.splice(0..0, common);
    }
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for (key, meaning) in hints {
        let width = key.width() + 1 + meaning.width() + 3;
        if used + width > area.width() {
            break;
        }
        used += width;
        spans.push(Span::styled(key.to_owned(), look.theme.key));
        spans.push(Span::styled(format!(" {meaning}   "), look.theme.quiet));
    }
    area.line(&Line::from(spans));
}
