//! The cluster in three lines: verdict, and the figures one looks for first, in places that never move.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use unicode_width::UnicodeWidthStr;

use quorate_client::model::{ClusterSnapshot, Quorum, Severity, StrangerState, Value};

use crate::app::App;
use crate::look::{Align, Area, Look, ago, count, rate};

/// Draws the headline and gives what is below it.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect, is_live: bool) -> Rect {
    let mut area = Area::new(buffer, rect, &look.symbols);
    title(app, look, &mut area, is_live);
    let rule = look.symbols.rule.repeat(area.width());
    area.line(&Line::styled(rule, look.theme.quiet));
    let mut tiles = tiles(&app.cluster, look);
    let width_of = |tiles: &[Tile]| tiles.iter().map(|tile| tile.width).sum::<usize>();
    // Where it is narrow whole tiles give way; their figures are in the table or its details as well.
    for label in ["TERM", "REVISION"] {
        if width_of(&tiles) >= area.width() {
            tiles.retain(|tile| tile.label != label);
        }
    }
    let fixed = width_of(&tiles);
    // Free columns widen the gaps; they depend on the terminal alone, so nothing moves when figures change.
    let spare = area.width().saturating_sub(fixed + 1) / tiles.len();
    let gap = spare.min(6);
    for is_value in [false, true] {
        let mut x = 1;
        for tile in &tiles {
            let (text, style) =
                if is_value { (&*tile.value, tile.style) } else { (tile.label, look.theme.quiet) };
            area.cell(x, tile.width + gap - 1, Align::Left, text, style);
            x += tile.width + gap;
        }
        area.skip();
    }
    super::page::below(rect, 5)
}

fn title(app: &App, look: &Look, area: &mut Area<'_>, is_live: bool) {
    let width = area.width();
    area.cell(1, 7, Align::Left, "Quorate", look.theme.title);
    let (cluster, style) = match app.cluster.cluster_id.last() {
        Some(id) => (format!("cluster {id}"), look.theme.text),
        None => (app.settings.endpoints.join(", "), look.theme.quiet),
    };
    let (symbol, word, verdict_style) = verdict(app, look);
    let pace = match (is_live, app.is_paused) {
        (false, _) => String::new(),
        (true, true) => "   PAUSED".into(),
        (true, false) => format!("   every {}", interval(app.interval)),
    };
    let pace_style = if app.is_paused { look.theme.warning } else { look.theme.quiet };
    let right = symbol.width() + 1 + word.width() + pace.width() + 1;
    area.cell(10, width.saturating_sub(right + 12), Align::Left, &cluster, style);
    let x = width.saturating_sub(right);
    area.cell(x, right, Align::Left, &format!("{symbol} {word}"), verdict_style);
    area.cell(width.saturating_sub(pace.width() + 1), pace.width(), Align::Left, &pace, pace_style);
    area.skip();
}

/// The verdict over the whole cluster: symbol, words, style.
fn verdict(app: &App, look: &Look) -> (&'static str, &'static str, Style) {
    let (symbols, theme) = (&look.symbols, &look.theme);
    if app.cluster.round == 0 {
        return (symbols.waiting, "asking", theme.quiet);
    }
    let worst = app.report.findings.iter().map(|finding| finding.severity).min();
    let is_silent = app.cluster.cluster_id.reason().is_some();
    match worst {
        _ if is_silent && worst.is_none() => (symbols.waiting, "asking", theme.quiet),
        Some(Severity::Critical) => {
            let word = if is_silent && is_refused(&app.cluster) {
                "no access"
            } else if is_silent {
                "no answer"
            } else if app.report.findings.iter().any(|f| is_outage(f.rule, f.severity)) {
                "not serving"
            } else {
                "critical"
            };
            (symbols.critical, word, theme.critical)
        }
        Some(Severity::Warning) => (symbols.warning, "degraded", theme.warning),
        Some(Severity::Info) | None => (symbols.good, "healthy", theme.good),
    }
}

fn is_refused(cluster: &ClusterSnapshot) -> bool {
    let mut strangers = cluster.strangers.iter();
    strangers.any(|stranger| matches!(stranger.state, StrangerState::Refused { .. }))
}

fn is_outage(rule: &str, severity: Severity) -> bool {
    severity == Severity::Critical && matches!(rule, "quorum" | "leader" | "serving")
}

fn interval(interval: std::time::Duration) -> String {
    if interval.subsec_millis() == 0 {
        format!("{} s", interval.as_secs())
    } else {
        format!("{} ms", interval.as_millis())
    }
}

struct Tile {
    label: &'static str,
    width: usize,
    value: String,
    style: Style,
}

fn tiles(cluster: &ClusterSnapshot, look: &Look) -> Vec<Tile> {
    let theme = &look.theme;
    let (quorum, quorum_style) = quorum(&cluster.quorum, look);
    let (leader, leader_style) = leader(cluster, look);
    let (alarms, alarms_style) = alarms(cluster, look);
    let tile = |label, width, value, style| Tile { label, width, value, style };
    vec![
        tile("QUORUM", 23, quorum, quorum_style),
        tile("LEADER", 11, leader, leader_style),
        tile("TERM", 6, figure(&cluster.term, look, |n| count(*n)), theme.text),
        tile(
            "REVISION",
            13,
            figure(&cluster.revision, look, |n| count(n.unsigned_abs())),
            theme.text,
        ),
        tile("WRITES", 15, writes(cluster, look), theme.text),
        tile("ALARMS", 9, alarms, alarms_style),
    ]
}

fn figure<T>(value: &Value<T>, look: &Look, text: impl Fn(&T) -> String) -> String {
    match value {
        Value::Known(known) => text(known),
        Value::Stale { value, .. } => format!("{}{}", look.symbols.stale, text(value)),
        Value::Unknown(_) => look.symbols.unknown.into(),
    }
}

fn quorum(quorum: &Value<Quorum>, look: &Look) -> (String, Style) {
    let Some(quorum) = quorum.last() else {
        return (look.symbols.unknown.into(), look.theme.text);
    };
    let up = format!("{} of {} up", quorum.up, quorum.voters);
    match quorum.margin() {
        None => (format!("{up}, {} needed", quorum.needed()), look.theme.critical),
        Some(0) if quorum.voters > 1 => (format!("{up}, can lose 0"), look.theme.warning),
        Some(margin) => (format!("{up}, can lose {margin}"), look.theme.strong),
    }
}

fn leader(cluster: &ClusterSnapshot, look: &Look) -> (String, Style) {
    match &cluster.leader {
        Value::Known(None) => ("none".into(), look.theme.critical),
        Value::Stale { value: None, .. } | Value::Unknown(_) => {
            (look.symbols.unknown.into(), look.theme.text)
        }
        Value::Known(Some(id)) => (name(cluster, *id), look.theme.strong),
        Value::Stale { value: Some(id), age } => (
            format!("{}{} {}", look.symbols.stale, name(cluster, *id), ago(*age)),
            look.theme.quiet,
        ),
    }
}

fn name(cluster: &ClusterSnapshot, id: quorate_client::model::MemberId) -> String {
    cluster.member(id).map_or_else(|| id.to_string(), |member| member.label())
}

/// Puts, or revisions where no metrics tell the puts; the unit says which.
fn writes(cluster: &ClusterSnapshot, look: &Look) -> String {
    match (cluster.puts_per_second.known(), cluster.revisions_per_second.known()) {
        (Some(puts), _) => format!("{} puts/s", rate(*puts)),
        (None, Some(revisions)) => format!("{} rev/s", rate(*revisions)),
        (None, None) => look.symbols.unknown.into(),
    }
}

fn alarms(cluster: &ClusterSnapshot, look: &Look) -> (String, Style) {
    match cluster.alarms.last() {
        None => (look.symbols.unknown.into(), look.theme.text),
        Some(alarms) if alarms.is_empty() => {
            (figure(&cluster.alarms, look, |_| "none".into()), look.theme.text)
        }
        Some(alarms) => {
            let first = alarms[0].kind.word();
            let more =
                if alarms.len() > 1 { format!(" +{}", alarms.len() - 1) } else { String::new() };
            (format!("{first}{more}"), look.theme.critical)
        }
    }
}
