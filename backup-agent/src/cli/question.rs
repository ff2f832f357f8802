//! Questions on the terminal. Where there is none, nothing is asked: the flags must say it all.

use std::io::{BufRead, IsTerminal, Write};

use crate::error::{AgentError, Result};

/// True when somebody can be asked.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a line; an empty answer takes the default, where there is one.
///
/// # Errors
/// [`AgentError::Cancelled`] at the end of the input.
pub fn ask(question: &str, default: Option<&str>) -> Result<String> {
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    loop {
        eprint!("{question}{shown}: ");
        // A prompt that cannot be shown shows up as an answer that does not come.
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => return Err(AgentError::Cancelled),
            Ok(_) => {}
        }
        match (line.trim(), default) {
            ("", Some(default)) => return Ok(default.to_owned()),
            ("", None) => {}
            (answer, _) => return Ok(answer.to_owned()),
        }
    }
}

/// Asks for a word to be typed; anything else cancels.
pub fn confirm(question: &str, word: &str) -> Result<()> {
    let answer = ask(&format!("{question}\nType {word} to go on, anything else to stop"), None)?;
    if answer == word { Ok(()) } else { Err(AgentError::Cancelled) }
}
