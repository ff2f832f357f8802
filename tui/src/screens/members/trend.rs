//! The last minutes as small charts, for terminals tall enough: load, and what makes it slow.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::{App, Sample};
use crate::look::{Align, Area, Look, milliseconds, rate};

/// Lines the panel takes.
pub const LINES: u16 = 5;
/// Terminals lower than this keep their lines for the findings.
pub const SCREEN_HEIGHT_MIN: u16 = 30;

const CHART_LEFT: usize = 12;
const FIGURES_WIDTH: usize = 28;

/// Draws the panel.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect) {
    let mut area = Area::new(buffer, rect, &look.symbols);
    area.cell(1, 40, Align::Left, "TREND", look.theme.quiet);
    let right = area.width().saturating_sub(FIGURES_WIDTH + 1);
    area.cell(right, 13, Align::Right, "NOW", look.theme.quiet);
    area.cell(right + 15, 13, Align::Right, "HIGHEST", look.theme.quiet);
    area.skip();
    let time = |seconds: f64| milliseconds(Duration::from_secs_f64(seconds));
    let writes = |per_second: f64| format!("{}/s", rate(per_second));
    row("writes", app, |sample| sample.writes, &writes, look, &mut area);
    row("read", app, |sample| sample.read, &time, look, &mut area);
    row("fsync p99", app, |sample| sample.fsync, &time, look, &mut area);
}

fn row(
    label: &str,
    app: &App,
    figure: impl Fn(&Sample) -> Option<f64>,
    text: &dyn Fn(f64) -> String,
    look: &Look,
    area: &mut Area<'_>,
) {
    let theme = &look.theme;
    let width = area.width().saturating_sub(CHART_LEFT + FIGURES_WIDTH + 3);
    let samples = app.trend.last(width, figure);
    let highest = samples.iter().flatten().copied().fold(0.0, f64::max);
    area.cell(1, CHART_LEFT - 2, Align::Left, label, theme.text);
    let chart: String = samples.iter().map(|sample| level(*sample, highest, look)).collect();
    // The newest sample keeps its place at the right; the chart grows to the left.
    area.cell(CHART_LEFT, width, Align::Right, &chart, theme.info);
    let right = area.width().saturating_sub(FIGURES_WIDTH + 1);
    let now = samples.last().copied().flatten();
    let shown = |value: Option<f64>| value.map_or_else(|| look.symbols.unknown.into(), text);
    area.cell(right, 13, Align::Right, &shown(now), theme.strong);
    let highest = samples.iter().any(Option::is_some).then_some(highest);
    area.cell(right + 15, 13, Align::Right, &shown(highest), theme.quiet);
    area.skip();
}

/// The symbol for one sample; a gap where nothing was known, the lowest level for zero.
fn level(sample: Option<f64>, highest: f64, look: &Look) -> &'static str {
    let levels = &look.symbols.levels;
    let Some(value) = sample else { return " " };
    if highest <= 0.0 {
        return levels[0];
    }
    let step = (value / highest * (levels.len() - 1) as f64).round();
    levels[(step as usize).min(levels.len() - 1)]
}
