//! The findings panel: what is wrong, how it is known, what to do. Short forms when there is little room.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use quorate_client::model::{Finding, Report, Severity};

use crate::app::{App, Pane};
use crate::look::{Align, Area, Look, wrap};

const INDENT: usize = 5;

/// Draws the panel into all of `rect`.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect, pane: Option<Pane>) {
    let mut area = Area::new(buffer, rect, &look.symbols);
    if app.cluster.round == 0 {
        return;
    }
    heading(&app.report, look, &mut area);
    let findings = &app.report.findings;
    if findings.is_empty() {
        let answers = app.cluster.cluster_id.reason().is_none();
        if answers && area.lines_left() > 0 {
            area.cell(3, 1, Align::Left, look.symbols.good, look.theme.good);
            let width = area.width() - INDENT;
            area.cell(INDENT, width, Align::Left, "nothing to report", look.theme.text);
        }
        return;
    }
    let width = area.width().saturating_sub(INDENT + 1).max(1);
    let full: Vec<Vec<(String, Style)>> =
        findings.iter().map(|finding| body(finding, width, look)).collect();
    let is_expanded = expanded(&full, area.lines_left());
    let room = area.lines_left().max(1);
    let is_all_shown = findings.len() <= room;
    let first = if is_all_shown { 0 } else { app.selected_finding.saturating_sub(room - 1) };
    for (at, finding) in findings.iter().enumerate().skip(first) {
        let is_selected = pane == Some(Pane::Findings) && at == app.selected_finding;
        let n_hidden = findings.len() - at;
        if area.lines_left() == 1 && n_hidden > 1 && at > first {
            let text = format!("and {n_hidden} more: Tab, then the arrow keys");
            area.cell(INDENT, width, Align::Left, &text, look.theme.quiet);
            return;
        }
        title(finding, is_selected, is_expanded[at], look, &mut area);
        for (text, style) in full[at].iter().filter(|_| is_expanded[at]) {
            area.cell(INDENT, width, Align::Left, text, *style);
            area.skip();
        }
    }
}

/// Which findings get their evidence and advice spelled out: the most urgent ones, as long as every title keeps its
/// line.
fn expanded(bodies: &[Vec<(String, Style)>], room: usize) -> Vec<bool> {
    let mut spare = room.saturating_sub(bodies.len());
    let mut is_tight = false;
    bodies
        .iter()
        .map(|body| {
            // After the first that does not fit none is spelled out, so that the list reads from long to short.
            is_tight |= body.len() > spare;
            spare -= if is_tight { 0 } else { body.len() };
            !is_tight
        })
        .collect()
}

fn heading(report: &Report, look: &Look, area: &mut Area<'_>) {
    let n = |severity| report.findings.iter().filter(|f| f.severity == severity).count();
    let mut spans = vec![Span::styled(" FINDINGS", look.theme.quiet)];
    for severity in [Severity::Critical, Severity::Warning, Severity::Info] {
        let found = n(severity);
        if found > 0 {
            let plural = if found > 1 && severity == Severity::Warning { "s" } else { "" };
            let text = format!("   {found} {}{plural}", severity.word());
            spans.push(Span::styled(text, style(severity, look)));
        }
    }
    let width = area.width();
    let checks = match report.not_checked.len() {
        0 => format!("{} checks", report.n_checked),
        unknown => format!("{} checks, {unknown} not possible", report.n_checked),
    };
    let x = width.saturating_sub(checks.width() + 1);
    area.cell(x, checks.width(), Align::Left, &checks, look.theme.quiet);
    area.line(&Line::from(spans));
}

/// The symbol of a severity.
fn symbol(severity: Severity, look: &Look) -> &'static str {
    match severity {
        Severity::Critical => look.symbols.critical,
        Severity::Warning => look.symbols.warning,
        Severity::Info => look.symbols.info,
    }
}

fn style(severity: Severity, look: &Look) -> Style {
    match severity {
        Severity::Critical => look.theme.critical,
        Severity::Warning => look.theme.warning,
        Severity::Info => look.theme.info,
    }
}

fn title(
    finding: &Finding,
    is_selected: bool,
    is_expanded: bool,
    look: &Look,
    area: &mut Area<'_>,
) {
    let severity = finding.severity;
    if is_selected {
        area.cell(1, 1, Align::Left, look.symbols.selected, look.theme.title);
    }
    area.cell(3, 1, Align::Left, symbol(severity, look), style(severity, look));
    let width = area.width().saturating_sub(INDENT + 1);
    area.cell(INDENT, width, Align::Left, &finding.title, look.theme.strong);
    let used = finding.title.width() + 2;
    if !is_expanded && used < width {
        let x = INDENT + used;
        area.cell(x, width - used, Align::Left, &finding.evidence, look.theme.quiet);
    }
    area.skip();
}

fn body(finding: &Finding, width: usize, look: &Look) -> Vec<(String, Style)> {
    let mut lines: Vec<_> =
        wrap(&finding.evidence, width).into_iter().map(|line| (line, look.theme.quiet)).collect();
    let arrow = format!("{} ", look.symbols.advice);
    let indent = " ".repeat(arrow.width());
    let advice = wrap(&finding.advice, width.saturating_sub(arrow.width()));
    lines.extend(advice.into_iter().enumerate().map(|(at, line)| {
        let start = if at == 0 { &arrow } else { &indent };
        (format!("{start}{line}"), look.theme.text)
    }));
    lines
}
