//! The parts of the opening screen from top to bottom; each takes its lines and leaves the rest to the next.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::{App, Pane};
use crate::look::Look;

use super::{findings, headline, strip, table, trend};

/// Draws the screen for a person with a keyboard.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect) {
    draw_parts(app, look, buffer, rect, Some(app.pane));
}

/// Draws the screen for paper: nothing is selected.
pub fn draw_plain(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect) {
    draw_parts(app, look, buffer, rect, None);
}

fn draw_parts(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect, pane: Option<Pane>) {
    let below = headline::draw(app, look, buffer, rect, pane.is_some());
    let below = table::draw(app, look, buffer, below, pane);
    let below = match pane {
        Some(_) => strip::draw(app, look, buffer, below),
        None => below,
    };
    let has_trend = pane.is_some() && rect.height >= trend::SCREEN_HEIGHT_MIN;
    let trend_lines = if has_trend { trend::LINES } else { 0 };
    let upper = Rect { height: below.height.saturating_sub(trend_lines), ..below };
    findings::draw(app, look, buffer, upper, pane);
    if has_trend && app.cluster.round > 0 {
        // The first line stays empty.
        let lower = Rect { y: upper.bottom() + 1, height: trend_lines - 1, ..below };
        trend::draw(app, look, buffer, lower);
    }
}

/// What is left of `rect` below `used` lines.
pub(super) fn below(rect: Rect, used: usize) -> Rect {
    let used = u16::try_from(used).unwrap_or(u16::MAX).min(rect.height);
    Rect { y: rect.y + used, height: rect.height - used, ..rect }
}
