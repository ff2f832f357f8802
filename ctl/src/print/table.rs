//! The table format: light lines, headers upper-case and centred, cells to the right. Only lists of members and of
//! endpoints have it.

use super::answer::{
    Answer, file_hash_row, hash_rows, health_rows, member_rows, snapshot_row, status_rows,
};
use crate::terminal::print_text;
use unicode_width::UnicodeWidthStr;

/// Prints an answer; `None` if it has no table form.
pub(super) fn print(answer: &Answer) -> Option<()> {
    let text = match answer {
        Answer::MemberList(response) => draw(&MEMBER_COLUMNS, &member_rows(response)),
        Answer::Health(list) => draw(&HEALTH_COLUMNS, &health_rows(list)),
        Answer::Status(list) => draw(&STATUS_COLUMNS, &status_rows(list)),
        Answer::HashKv(list) => draw(&HASH_COLUMNS, &hash_rows(list)),
        Answer::SnapshotStatus(status) => draw(&SNAPSHOT_COLUMNS, &[snapshot_row(status)]),
        Answer::FileHash(hash) => draw(&FILE_HASH_COLUMNS, &[file_hash_row(hash)]),
        _ => return None,
    };
    print_text(text);
    Some(())
}

const MEMBER_COLUMNS: [&str; 6] =
    ["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"];
const HEALTH_COLUMNS: [&str; 4] = ["ENDPOINT", "HEALTH", "TOOK", "ERROR"];
const HASH_COLUMNS: [&str; 3] = ["ENDPOINT", "HASH", "HASH REVISION"];
const SNAPSHOT_COLUMNS: [&str; 5] = ["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"];
const FILE_HASH_COLUMNS: [&str; 3] = ["HASH", "HASH REVISION", "COMPACT REVISION"];
const STATUS_COLUMNS: [&str; 16] = [
    "ENDPOINT",
    "ID",
    "VERSION",
    "STORAGE VERSION",
    "DB SIZE",
    "IN USE",
    "PERCENTAGE NOT IN USE",
    "QUOTA",
    "IS LEADER",
    "IS LEARNER",
    "RAFT TERM",
    "RAFT INDEX",
    "RAFT APPLIED INDEX",
    "ERRORS",
    "DOWNGRADE TARGET VERSION",
    "DOWNGRADE ENABLED",
];

/// Draws a table with its final line end.
pub fn draw(columns: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let cells = rows.iter().map(|row| row[number].width());
            cells.chain([name.width()]).max().unwrap_or_default()
        })
        .collect();
    let rule = |left: char, middle: char, right: char| {
        let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(&middle.to_string()))
    };
    let names = columns.iter().zip(&widths).map(|(name, width)| centred(name, *width));
    let mut out = rule('┌', '┬', '┐');
    out.push_str(&line(names));
    // Without rows the library draws no rule below the header.
    if !rows.is_empty() {
        out.push_str(&rule('├', '┼', '┤'));
    }
    for row in rows {
        out.push_str(&line(row.iter().zip(&widths).map(|(cell, width)| right(cell, *width))));
    }
    out.push_str(&rule('└', '┴', '┘'));
    out
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| format!(" {cell} ")).collect();
    format!("│{}│\n", cells.join("│"))
}

fn centred(text: &str, width: usize) -> String {
    let space = width - text.width();
    format!("{}{text}{}", " ".repeat(space / 2), " ".repeat(space - space / 2))
}

fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width - text.width()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Borders, centred headers and cells to the right, as etcdctl 3.7.1 draws them.
    #[test]
    fn draws_like_etcdctl() {
        let rows = [vec!["127.0.0.1:1".to_owned(), "7".to_owned(), "1".to_owned()]];
        let expected = "\
┌─────────────┬──────┬───────────────┐
│  ENDPOINT   │ HASH │ HASH REVISION │
├─────────────┼──────┼───────────────┤
│ 127.0.0.1:1 │    7 │             1 │
└─────────────┴──────┴───────────────┘
";
        assert_eq!(draw(&HASH_COLUMNS, &rows), expected);
    }
}
