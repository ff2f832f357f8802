//! Figures as text: short, of steady width, never more exact than they are.

use std::time::Duration;

/// Bytes with a binary unit: `512 B`, `20 KiB`, `2.0 GiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    // 999.5 would print as 1000: change the unit before.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit > 0 && value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// A count with separators: `1,204,331`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A latency to the millisecond, so that noise does not flicker: `<1 ms`, `12 ms`, `1.5 s`.
pub fn milliseconds(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 1.0 => "<1 ms".into(),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 99_950.0 => format!("{:.1} s", ms / 1e3),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

/// An age in one unit: `12s`, `3m`, `2h`, `5d`.
pub fn ago(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A share without decimals; what is not zero never shows as `0%`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 1.0 { "<1%".into() } else { format!("{percent:.0}%") }
}

/// A rate per second: exact when small, separated when large.
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        count(per_second.max(0.0).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The units change before a fourth digit appears.
    #[test]
    fn figures_stay_short() {
        assert_eq!(
            [0, 999, 1000, 20 << 10, 999 << 10, 1023 << 10, 2 << 30, 150 << 30].map(bytes),
            ["0 B", "999 B", "1.0 KiB", "20 KiB", "999 KiB", "1.0 MiB", "2.0 GiB", "150 GiB"]
        );
        assert_eq!([0, 999, 1000, 1_204_331].map(count), ["0", "999", "1,000", "1,204,331"]);
        let ms = |micros| milliseconds(Duration::from_micros(micros));
        assert_eq!(
            [480, 1_400, 999_400, 999_600, 123_000_000].map(ms),
            ["<1 ms", "1 ms", "999 ms", "1.0 s", "123 s"]
        );
        assert_eq!([0.0, 0.004, 0.2, 1.0].map(percent), ["0%", "<1%", "20%", "100%"]);
        assert_eq!([0.0, 3.12, 1312.4].map(rate), ["0", "3.1", "1,312"]);
        assert_eq!(
            [9, 90, 7200, 200_000].map(|s| ago(Duration::from_secs(s))),
            ["9s", "1m", "2h", "2d"]
        );
    }
}
