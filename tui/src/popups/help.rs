//! The keys of a place, and what the signs mean.

use ratatui::text::{Line, Span};

use super::Content;
use crate::keymap::{Context, bindings};
use crate::look::Look;

/// Makes the lines.
pub(super) fn content(context: Context, look: &Look) -> Content {
    let theme = &look.theme;
    let mut lines: Vec<Line<'static>> = bindings(context)
        .map(|binding| {
            Line::from(vec![
                Span::styled(format!("{:<12}", binding.label), theme.key),
                Span::styled(binding.help, theme.text),
            ])
        })
        .collect();
    let symbols = &look.symbols;
    lines.push(Line::default());
    for (sign, style, meaning) in [
        (symbols.good, theme.good, "answers, has a leader, linearizable reads get through"),
        (symbols.warning, theme.warning, "answers, but something is wrong"),
        (symbols.critical, theme.critical, "does not answer"),
        (symbols.unknown, theme.quiet, "not known; the details of the member say why"),
        (symbols.stale, theme.quiet, "before a figure: as it was when the member last answered"),
        (symbols.bar_used, theme.text, "database: in use"),
        (symbols.bar_free, theme.text, "database: taken from the disk, but free"),
        (symbols.bar_rest, theme.quiet, "database: up to the quota"),
    ] {
        lines.push(Line::from(vec![
            Span::styled(format!("{sign:<12}"), style),
            Span::styled(meaning, theme.text),
        ]));
    }
    lines.push(Line::default());
    for (heading, meaning) in [
        ("LAG", "entries applied behind the leader, approximate"),
        ("FSYNC", "99th percentile of the log's fsync, last minute"),
        ("TRIP", "duration of a Status call, local to the member"),
        ("READ", "duration of a linearizable read, needs a majority"),
        ("TREND", "a column per round; the slowest member's read and fsync"),
    ] {
        lines.push(Line::from(vec![
            Span::styled(format!("{heading:<12}"), theme.quiet),
            Span::styled(meaning, theme.text),
        ]));
    }
    Content { title: "Keys and signs".into(), lines }
}
