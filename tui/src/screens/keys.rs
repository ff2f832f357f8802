//! The key browser's screen: keys under a prefix, a page at a time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::look::{Align, Area, Look, count};
use crate::popups::printable;

/// Draws the screen.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect) {
    let mut area = Area::new(buffer, rect, &look.symbols);
    let (theme, keys) = (&look.theme, &app.keys);
    let mut spans =
        vec![Span::styled(" Keys", theme.title), Span::styled("  prefix ", theme.quiet)];
    match &keys.typing {
        Some(text) => spans.push(Span::styled(format!("{text}_"), theme.strong)),
        None if keys.prefix.is_empty() => spans.push(Span::styled("(all keys)", theme.text)),
        None => spans.push(Span::styled(printable(&keys.prefix), theme.strong)),
    }
    let summary = summary(app);
    area.line(&Line::from(spans));
    area.line(&Line::styled(look.symbols.rule.repeat(area.width()), theme.quiet));
    area.cell(1, area.width() - 1, Align::Left, &summary, theme.quiet);
    area.skip();
    area.skip();
    if let Some(error) = &keys.error {
        area.cell(1, 1, Align::Left, look.symbols.critical, theme.critical);
        area.cell(3, area.width() - 4, Align::Left, error, theme.text);
        area.skip();
        area.skip();
    }
    let Some(page) = &keys.page else { return };
    if page.rows.is_empty() {
        area.cell(3, area.width() - 4, Align::Left, "no key begins with this prefix", theme.text);
        return;
    }
    rows(app, look, &mut area);
}

fn summary(app: &App) -> String {
    let keys = &app.keys;
    let Some((page, total)) = keys.page.as_ref().zip(keys.n_total()) else {
        return if keys.waiting_for.is_some() { "reading".into() } else { String::new() };
    };
    let first = if page.rows.is_empty() { 0 } else { keys.n_earlier + 1 };
    let last = keys.n_earlier + page.rows.len() as u64;
    let revision = count(page.revision.unsigned_abs());
    let mode =
        if page.is_serializable { ", one member's own state (no linearizable read)" } else { "" };
    let waiting = if keys.waiting_for.is_some() { ", reading" } else { "" };
    format!(
        "{} to {} of {} keys at revision {revision}{mode}{waiting}",
        count(first),
        count(last),
        count(total)
    )
}

fn rows(app: &App, look: &Look, area: &mut Area<'_>) {
    let theme = &look.theme;
    let Some(page) = &app.keys.page else { return };
    let width = area.width();
    let has_lease = width >= 100;
    let right = if has_lease { 46 } else { 28 };
    let key_width = width.saturating_sub(3 + right);
    let columns = [("VERSION", 10), ("MODIFIED", 14), ("LEASE", 16)];
    let columns = &columns[..if has_lease { 3 } else { 2 }];
    area.cell(3, key_width, Align::Left, "KEY", theme.quiet);
    let mut x = 3 + key_width;
    for (heading, width) in columns {
        area.cell(x + 1, *width, Align::Right, heading, theme.quiet);
        x += width + 2;
    }
    area.skip();
    let room = area.lines_left().max(1);
    let first = app.keys.selected.saturating_sub(room - 1);
    for (at, row) in page.rows.iter().enumerate().skip(first).take(room) {
        let is_selected = at == app.keys.selected;
        if is_selected {
            area.cell(1, 1, Align::Left, look.symbols.selected, theme.title);
        }
        let style = if is_selected { theme.selected } else { theme.text };
        area.cell(3, key_width, Align::Left, &printable(&row.key), style);
        let lease = if row.lease == 0 { String::new() } else { format!("{:x}", row.lease) };
        let figures =
            [count(row.version.unsigned_abs()), count(row.mod_revision.unsigned_abs()), lease];
        let mut x = 3 + key_width;
        for ((_, width), text) in columns.iter().zip(figures) {
            area.cell(x + 1, *width, Align::Right, &text, theme.quiet);
            x += width + 2;
        }
        area.skip();
    }
}
