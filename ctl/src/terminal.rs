//! Output to the terminal or pipe, and input from it. The only place that touches stdout, stderr and stdin.

use crate::failure::{Failure, Outcome, exit};
use std::io::{self, BufRead, IsTerminal, Read, Write};

/// Exit code of a process ended by SIGPIPE, as a shell shows it.
const EXIT_PIPE: i32 = 141;

/// Writes bytes to stdout at once. A reader that has gone ends the program, as SIGPIPE does for etcdctl; so does a full
/// disk, of which a script that keeps the output has to hear.
pub fn print_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(EXIT_PIPE);
    }
    complain(format!("Error: write to standard output: {error}"));
    std::process::exit(exit::IO.into());
}

/// Writes a line to stdout.
pub fn print_line(line: impl AsRef<str>) {
    let mut text = line.as_ref().to_owned();
    text.push('\n');
    print_bytes(text.as_bytes());
}

/// Writes text to stdout without ending the line.
pub fn print_text(text: impl AsRef<str>) {
    print_bytes(text.as_ref().as_bytes());
}

/// Empties the screen, where stdout is one.
pub fn clear_screen() {
    if io::stdout().is_terminal() {
        print_text("\x1b[H\x1b[2J");
    }
}

/// Writes a line to stderr. Nothing can be done if that fails.
pub fn complain(line: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", line.as_ref());
}

/// Reads all of stdin.
pub fn read_all() -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    match io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::new(exit::IO, error.to_string())),
    }
}

/// Reads a line from stdin, its line end included; `None` at the end of input, also if a part of a line is left, as
/// Go's reader treats it.
pub fn read_line() -> Option<String> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_until(b'\n', &mut bytes).ok()?;
    bytes.ends_with(b"\n").then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a person sits at stdin.
pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Writes one log line in JSON to stderr, as etcdctl does for what is neither answer nor error.
pub fn log(level: &str, message: &str, fields: &[(&str, &str)]) {
    let mut line = serde_json::Map::new();
    line.insert("level".to_owned(), level.into());
    line.insert("msg".to_owned(), message.into());
    for (name, value) in fields {
        line.insert((*name).to_owned(), (*value).into());
    }
    complain(serde_json::Value::Object(line).to_string());
}
