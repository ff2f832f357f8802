//! The alarms of all members, and the way out of each.

use ratatui::text::Line;

use super::{Content, field, paragraph};
use crate::app::App;
use crate::look::Look;

/// Makes the lines.
pub(super) fn content(app: &App, width: usize, look: &Look) -> Content {
    let theme = &look.theme;
    let mut lines = Vec::new();
    match app.cluster.alarms.last() {
        None => {
            let reason = app.cluster.alarms.reason().unwrap_or_default();
            lines.extend(paragraph(&format!("Not known: {reason}"), width, theme.text));
        }
        Some(alarms) if alarms.is_empty() => {
            lines.push(Line::styled("No alarm is set on any member.", theme.text));
        }
        Some(alarms) => {
            for alarm in alarms {
                let member = app.cluster.member(alarm.member);
                let who = member.map_or_else(|| alarm.member.to_string(), |m| m.label());
                lines.push(field(alarm.kind.word(), format!("{who}  ({})", alarm.member), look));
            }
        }
    }
    if app.cluster.alarms.is_stale() {
        lines.push(Line::default());
        lines.push(Line::styled("As they were when a member last answered.", theme.warning));
    }
    for finding in app.report.findings.iter().filter(|finding| finding.rule == "alarm") {
        lines.push(Line::default());
        lines.push(Line::styled(finding.title.clone(), theme.strong));
        lines.extend(paragraph(&finding.evidence, width, theme.quiet));
        lines.extend(paragraph(&finding.advice, width, theme.text));
    }
    Content { title: "Alarms".into(), lines }
}
