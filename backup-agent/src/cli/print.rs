//! Results on standard output: a plain table or one JSON document.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// Prints a JSON document.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => println!("{text}"),
        // All printed types are plain data; a failure here is a fault of this program, and is shown as one.
        Err(error) => eprintln!("error: result cannot be printed as JSON: {error}"),
    }
}

/// Prints rows under a header, columns aligned by two spaces.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) {
    print!("{}", table_text(header, rows));
}

fn table_text<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    };
    line(header);
    rows.iter().for_each(|row| line(row.each_ref().map(String::as_str)));
    text
}

/// Bytes for people: `20.5 KiB`.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut value = size as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{size} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A time to the second, in UTC.
pub fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns are as wide as their widest cell, and lines have no trailing blanks.
    #[test]
    fn aligns_columns() {
        let rows = [["a".into(), "bbbb".into()], ["cccc".into(), "d".into()]];
        assert_eq!(table_text(["X", "Y"], &rows), "X     Y\na     bbbb\ncccc  d\n");
    }

    /// Sizes read well at every magnitude.
    #[test]
    fn sizes_for_people() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(20_992), "20.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
