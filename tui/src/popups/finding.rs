//! One finding in full, and the checks that were not possible.

use ratatui::text::Line;

use quorate_client::model::Finding;

use super::{Content, field, paragraph};
use crate::app::App;
use crate::look::Look;

/// Makes the lines.
pub(super) fn content(app: &App, finding: &Finding, width: usize, look: &Look) -> Content {
    let theme = &look.theme;
    let mut lines = vec![
        field("severity", finding.severity.word().into(), look),
        field("rule", finding.rule.into(), look),
        Line::default(),
    ];
    lines.extend(paragraph(&finding.evidence, width, theme.text));
    lines.push(Line::default());
    lines.extend(paragraph(&finding.advice, width, theme.strong));
    if !app.report.not_checked.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("Checks that were not possible", theme.quiet));
        for not in &app.report.not_checked {
            lines.push(field(not.rule, not.reason.clone(), look));
        }
    }
    Content { title: finding.title.clone(), lines }
}
