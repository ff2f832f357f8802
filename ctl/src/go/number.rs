//! Go's `strconv.ParseInt`, `ParseUint` and `ParseBool`, with their error texts.

use super::quote;
use std::num::IntErrorKind;

/// Reads a signed number in `radix`.
///
/// # Errors
/// Go's text, for example `strconv.ParseInt: parsing "x": invalid syntax`.
pub fn parse_int(text: &str, radix: u32) -> Result<i64, String> {
    i64::from_str_radix(text, radix).map_err(|error| complain("ParseInt", text, error.kind()))
}

/// Reads an unsigned number in `radix`; a sign is invalid, as in Go.
///
/// # Errors
/// Go's text.
pub fn parse_uint(text: &str, radix: u32) -> Result<u64, String> {
    if text.starts_with('+') {
        return Err(complain("ParseUint", text, &IntErrorKind::InvalidDigit));
    }
    u64::from_str_radix(text, radix).map_err(|error| complain("ParseUint", text, error.kind()))
}

/// Reads a truth value in one of Go's spellings.
///
/// # Errors
/// Go's text.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(complain("ParseBool", text, &IntErrorKind::InvalidDigit)),
    }
}

fn complain(function: &str, text: &str, kind: &IntErrorKind) -> String {
    let reason = match kind {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {reason}", quote(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts are Go's.
    #[test]
    fn complains_like_go() {
        let text = "strconv.ParseInt: parsing \"x\": invalid syntax";
        assert_eq!(parse_int("x", 10), Err(text.to_owned()));
        let text = "strconv.ParseInt: parsing \"99999999999999999999\": value out of range";
        assert_eq!(parse_int("99999999999999999999", 10), Err(text.to_owned()));
        let text = "strconv.ParseUint: parsing \"-1\": invalid syntax";
        assert_eq!(parse_uint("-1", 16), Err(text.to_owned()));
        assert_eq!(parse_bool("T"), Ok(true));
    }
}
