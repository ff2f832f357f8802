//! One frame: the screen, the hint line below it, the topmost popup over it; or a notice that there is no room.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::{App, Screen};
use crate::look::{Align, Area, Look};
use crate::popups;

use super::{footer, keys, members};

/// The smallest terminal that the screens are made for.
pub const MIN_WIDTH: u16 = 60;
/// The smallest terminal that the screens are made for.
pub const MIN_HEIGHT: u16 = 14;

/// Draws everything.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer) {
    let whole = buffer.area;
    if whole.width < MIN_WIDTH || whole.height < MIN_HEIGHT {
        too_small(look, buffer);
        return;
    }
    // The hint line, and an empty one above it.
    let screen = Rect { height: whole.height - 2, ..whole };
    match app.screen {
        Screen::Members => members::draw(app, look, buffer, screen),
        Screen::Keys => keys::draw(app, look, buffer, screen),
    }
    let last_line = Rect { y: whole.bottom() - 1, height: 1, ..whole };
    footer::draw(app, look, buffer, last_line);
    if let Some(popup) = app.popups.last() {
        popups::draw(popup, app, look, buffer);
    }
}

/// Draws the opening screen without hints and selection, for `--once`.
pub fn draw_once(app: &App, look: &Look, buffer: &mut Buffer) {
    let whole = buffer.area;
    members::draw_plain(app, look, buffer, whole);
}

fn too_small(look: &Look, buffer: &mut Buffer) {
    let rect = buffer.area;
    let mut area = Area::new(buffer, rect, &look.symbols);
    let width = area.width();
    let text = format!(
        "terminal too small: {}x{}, needed {MIN_WIDTH}x{MIN_HEIGHT}",
        rect.width, rect.height
    );
    for line in crate::look::wrap(&text, width) {
        area.cell(0, width, Align::Left, &line, look.theme.warning);
        area.skip();
    }
}
