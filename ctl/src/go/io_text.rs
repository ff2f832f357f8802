//! The system's error texts as Go prints them: lower case, no number.

use std::io;

/// For example `no such file or directory`.
pub fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    match text.split_at_checked(1) {
        Some((first, rest)) => format!("{}{rest}", first.to_lowercase()),
        None => text.to_owned(),
    }
}
