//! A drawn screen as text with a map of styles, and its comparison with the picture kept in `golden/`.

use std::path::Path;

use quorate_tui::app::App;
use quorate_tui::look::{Look, Theme};
use quorate_tui::screens;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Modifier, Style};

/// Draws the whole screen into a terminal made of memory.
pub fn draw(app: &App, look: &Look, width: u16, height: u16) -> Buffer {
    let mut terminal =
        Terminal::new(TestBackend::new(width, height)).expect("memory is a terminal");
    terminal
        .draw(|frame| screens::draw(app, look, frame.buffer_mut()))
        .expect("memory is a terminal");
    terminal.backend().buffer().clone()
}

/// The text, line by line, without trailing spaces.
pub fn rows(buffer: &Buffer) -> impl Iterator<Item = String> {
    map(buffer, |cell| cell.symbol().to_owned())
}

fn map(buffer: &Buffer, show: impl Fn(&Cell) -> String) -> impl Iterator<Item = String> {
    let area = buffer.area;
    (area.top()..area.bottom()).map(move |y| {
        let row: String = (area.left()..area.right()).map(|x| show(&buffer[(x, y)])).collect();
        row.trim_end().to_owned()
    })
}

/// A letter per meaning; blank cells stay blank.
fn letter(cell: &Cell, theme: &Theme) -> String {
    if cell.symbol() == " " {
        return " ".into();
    }
    let drawn = |style: Style| {
        let style = style.remove_modifier(Modifier::empty());
        style.fg.unwrap_or_default() == cell.fg && style.add_modifier == cell.modifier
    };
    let meanings = [
        (".", theme.text),
        ("q", theme.quiet),
        ("T", theme.title),
        ("S", theme.strong),
        ("g", theme.good),
        ("w", theme.warning),
        ("C", theme.critical),
        ("i", theme.info),
        ("k", theme.key),
    ];
    let found = meanings.into_iter().find(|(_, style)| drawn(*style));
    found.map_or("?", |(letter, _)| letter).into()
}

/// Compares a screen with its picture.
pub fn assert_picture(name: &str, app: &App, look: &Look, width: u16, height: u16) {
    let buffer = draw(app, look, width, height);
    let mut text: String = rows(&buffer).map(|row| row + "\n").collect();
    text += "\nstyles: q quiet, T title, S strong, g good, w warning, C critical, i info, k key\n";
    text.extend(map(&buffer, |cell| letter(cell, &look.theme)).map(|row| row + "\n"));
    let text = text.trim_end().to_owned() + "\n";
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/screens/golden/{name}.txt"));
    if std::env::var_os("QUORATE_UPDATE_SCREENS").is_some() {
        std::fs::write(&path, &text).expect("the golden folder is writable");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{name} looks different.\nexpected:\n{expected}\ndrawn:\n{text}\nIf this is wanted, run with \
         QUORATE_UPDATE_SCREENS=1 and look at the difference."
    );
}
