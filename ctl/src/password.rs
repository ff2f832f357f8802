//! Asks for a password without showing it. Passwords never go into logs or error texts.

use crate::failure::Outcome;
use crate::terminal::{print_text, read_line, stdin_is_terminal};
use std::process::{Command, Stdio};

/// Prints a prompt and reads a line, hidden where stdin is a terminal.
pub fn ask(prompt: &str) -> Outcome<String> {
    print_text(prompt);
    let hidden = stdin_is_terminal().then(Hidden::start);
    let line = read_line().unwrap_or_default();
    drop(hidden);
    print_text("\n");
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Switches the terminal's echo off and, when dropped, on again. By `stty`, which every system with a terminal has;
/// the system call would need `unsafe`.
struct Hidden;

impl Hidden {
    fn start() -> Hidden {
        stty("-echo");
        Hidden
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(setting: &str) {
    let _ = Command::new("stty").arg(setting).stdin(Stdio::inherit()).status();
}
