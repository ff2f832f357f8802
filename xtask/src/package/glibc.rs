//! The oldest C library that a program runs on, read from the symbol versions it names.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const MARK: &[u8] = b"GLIBC_2.";

/// The minor of the newest `GLIBC_2.minor` that any of the programs needs.
pub fn minor_needed<'a>(programs: impl Iterator<Item = &'a Path>) -> Result<u32> {
    let mut newest = 0;
    for program in programs {
        let bytes = fs::read(program).with_context(|| program.display().to_string())?;
        newest = newest.max(minor_in(&bytes));
    }
    Ok(newest)
}

fn minor_in(bytes: &[u8]) -> u32 {
    let places = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    let minor = |(at, _): (usize, &[u8])| {
        let digits = bytes[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.take(3).fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    places.map(minor).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The newest version counts, not the last.
    #[test]
    fn the_newest_symbol_counts() {
        assert_eq!(minor_in(b"x\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0"), 34);
        assert_eq!(minor_in(b"static"), 0);
    }
}
