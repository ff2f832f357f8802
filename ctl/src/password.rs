//! Asks for a password without showing it. Passwords never go into logs or error texts.

use crate::failure::{Failure, Outcome, exit};
use crate::terminal::{print_text, read_line, stdin_is_terminal};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use std::io;

/// Prints a prompt and reads a line, hidden where stdin is a terminal. Who is asked and interrupts ends the program
/// without a word, as with etcdctl, and with the terminal as it was.
pub fn ask(prompt: &str) -> Outcome<String> {
    print_text(prompt);
    let line = match stdin_is_terminal() {
        true => read_hidden().map_err(|error| Failure::new(exit::IO, error.to_string()))?,
        false => Some(read_line().unwrap_or_default()),
    };
    print_text("\n");
    let line = line.ok_or_else(|| Failure::silent(exit::SIGNALED))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal gives us every key as it is, Ctrl-C too, and shows none. Dropped, it is as it was.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to mend.
        let _ = disable_raw_mode();
    }
}

/// A line as it is typed; none where it was interrupted.
fn read_hidden() -> io::Result<Option<String>> {
    enable_raw_mode()?;
    let _raw = Raw;
    let mut text = String::new();
    loop {
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match Typed::of(key) {
                Typed::End => return Ok(Some(text)),
                Typed::EndOfInput if text.is_empty() => return Ok(Some(text)),
                Typed::Interrupt => return Ok(None),
                Typed::Character(typed) => text.push(typed),
                Typed::Erase => drop(text.pop()),
                Typed::EraseAll => text.clear(),
                Typed::EndOfInput | Typed::Nothing => {}
            },
            Event::Paste(pasted) => text.push_str(&pasted),
            _ => {}
        }
    }
}

/// What a key means on a line that is not shown.
#[derive(Debug, PartialEq)]
enum Typed {
    Character(char),
    Erase,
    EraseAll,
    End,
    EndOfInput,
    Interrupt,
    Nothing,
}

impl Typed {
    fn of(key: KeyEvent) -> Typed {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => Typed::End,
            KeyCode::Char('j' | 'm') if is_control => Typed::End,
            KeyCode::Char('d') if is_control => Typed::EndOfInput,
            // crossterm reads Ctrl-\ as Ctrl-4.
            KeyCode::Char('c' | '4' | '\\') if is_control => Typed::Interrupt,
            KeyCode::Backspace => Typed::Erase,
            KeyCode::Char('h') if is_control => Typed::Erase,
            KeyCode::Char('u') if is_control => Typed::EraseAll,
            KeyCode::Char(typed) if !is_control => Typed::Character(typed),
            _ => Typed::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that end, break off or mend the line are no part of a password.
    #[test]
    fn keys() {
        let plain = |code| Typed::of(KeyEvent::new(code, KeyModifiers::NONE));
        let control = |c| Typed::of(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
        assert_eq!(plain(KeyCode::Char('ß')), Typed::Character('ß'));
        assert_eq!(plain(KeyCode::Enter), Typed::End);
        assert_eq!(plain(KeyCode::Backspace), Typed::Erase);
        assert_eq!(control('j'), Typed::End);
        assert_eq!(control('c'), Typed::Interrupt);
        assert_eq!(control('4'), Typed::Interrupt);
        assert_eq!(control('u'), Typed::EraseAll);
        assert_eq!(control('x'), Typed::Nothing);
    }
}
