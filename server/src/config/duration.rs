//! Durations as Go writes them: `1h0m0s`, `100ms`, `1.5s`, `1µs`. A bare `0` is allowed, other bare numbers are not.

use std::time::Duration;

/// Parses a Go duration; `None` where Go would refuse it, or where it is negative.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0_f64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..number_end].parse().ok()?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        nanos += number * unit_nanos(&rest[..unit_end])?;
        rest = &rest[unit_end..];
    }
    // i64 nanoseconds is what Go can hold.
    (nanos <= i64::MAX as f64).then(|| Duration::from_nanos(nanos.round() as u64))
}

fn unit_nanos(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        // U+00B5 micro sign and U+03BC Greek mu are both in use.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms that harnesses pass are understood, everything else is refused.
    #[test]
    fn go_forms() {
        assert_eq!(parse_duration("1h0m0s"), Some(Duration::from_secs(3600)));
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("1\u{b5}s"), Some(Duration::from_micros(1)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("0"), Some(Duration::ZERO));
        for bad in ["", "5", "-1s", "s", "1x", "1 s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
