//! The frame of every popup: where it lies, its border and title, and which of its lines are in sight.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use crate::app::{App, Popup};
use crate::look::{Area, Look, wrap};

use super::{alarms, finding, help, member, value};

/// Wider than this, text is hard to read.
const WIDTH_MAX: u16 = 96;

/// Lines of the headline that stay in sight above a popup, on small and on tall terminals.
const HEADLINE_SMALL: u16 = 2;
const HEADLINE_TALL: u16 = 5;

/// A popup's content.
pub(super) struct Content {
    pub title: String,
    pub lines: Vec<Line<'static>>,
}

/// Draws the topmost popup.
pub fn draw(popup: &Popup, app: &App, look: &Look, buffer: &mut Buffer) {
    let whole = buffer.area;
    // Slivers of the screen beside a popup would only be clutter.
    let width = if whole.width < WIDTH_MAX + 8 { whole.width } else { WIDTH_MAX };
    let text_width = usize::from(width.saturating_sub(4));
    let content = match popup {
        Popup::Help(context) => help::content(*context, look),
        Popup::Member(id) => member::content(app, *id, text_width, look),
        Popup::Finding(finding) => finding::content(app, finding, text_width, look),
        Popup::Alarms => alarms::content(app, text_width, look),
        Popup::Value(value) => value::content(value, text_width, look),
    };
    let n_lines = u16::try_from(content.lines.len()).unwrap_or(u16::MAX);
    let top = if whole.height < 36 { HEADLINE_SMALL } else { HEADLINE_TALL };
    // The hint line stays too.
    let height = n_lines.saturating_add(2).min(whole.height.saturating_sub(top + 1));
    let rect = Rect { x: whole.x + (whole.width - width) / 2, y: whole.y + top, width, height };
    let room = usize::from(height.saturating_sub(2));
    let scroll = app.scroll.min(content.lines.len().saturating_sub(room));
    let more = if content.lines.len() > room {
        format!(" {} to {} of {} ", scroll + 1, scroll + room, content.lines.len())
    } else {
        String::new()
    };
    let below = Rect { y: rect.y, height: whole.height.saturating_sub(top + 1), ..whole };
    buffer.set_style(below, look.theme.behind);
    Clear.render(rect, buffer);
    Block::bordered()
        .border_set(look.symbols.border)
        .border_style(look.theme.quiet)
        .title(Span::styled(format!(" {} ", content.title), look.theme.title))
        .title_bottom(Span::styled(more, look.theme.quiet))
        .render(rect, buffer);
    let inner = Rect {
        x: rect.x + 2,
        y: rect.y + 1,
        width: width.saturating_sub(4),
        height: height.saturating_sub(2),
    };
    let mut area = Area::new(buffer, inner, &look.symbols);
    for line in content.lines.iter().skip(scroll).take(room) {
        area.line(line);
    }
}

/// A labelled figure.
pub(super) fn field(label: &str, value: String, look: &Look) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("{label:<22}"), look.theme.quiet),
        Span::styled(value, look.theme.text),
    ])
}

/// Running text.
pub(super) fn paragraph(
    text: &str,
    width: usize,
    style: ratatui::style::Style,
) -> Vec<Line<'static>> {
    wrap(text, width).into_iter().map(|line| Line::styled(line, style)).collect()
}
