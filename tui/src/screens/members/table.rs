//! The member table: a row per member, then the endpoints that belong to none.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use quorate_client::model::{MemberSnapshot, StrangerState};

use super::cells::{mark, text};
use super::columns::{Column, LEFT, Placed, place};
use crate::app::{App, Pane};
use crate::look::{Align, Area, Look, bytes, percent};

/// Lines kept below the table when there are many members: an empty one, and a finding under its heading.
const LINES_BELOW: usize = 3;

/// Draws the table and gives what is below it.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect, pane: Option<Pane>) -> Rect {
    let mut area = Area::new(buffer, rect, &look.symbols);
    let members = &app.cluster.members;
    let columns = place(members, area.width());
    if !members.is_empty() {
        for placed in &columns {
            let align = placed.column.align();
            area.cell(placed.x, placed.width, align, placed.column.heading(), look.theme.quiet);
        }
        area.skip();
    }
    let room = area.lines_left().saturating_sub(LINES_BELOW).max(1);
    let selected = app.selected_row();
    // With more members than lines the selected one stays in sight.
    let first = if members.len() > room { selected.saturating_sub(room - 1) } else { 0 };
    let mut n_lines = usize::from(!members.is_empty());
    for (at, member) in members.iter().enumerate().skip(first).take(room) {
        let is_selected = pane == Some(Pane::Members) && at == selected;
        row(member, is_selected, &columns, look, &mut area);
        n_lines += 1;
    }
    for stranger in app.cluster.strangers.iter().take(room) {
        let state = match &stranger.state {
            StrangerState::Silent { reason } | StrangerState::Refused { reason } => reason.clone(),
            StrangerState::OtherCluster { cluster_id } => {
                format!("belongs to cluster {cluster_id}")
            }
            StrangerState::NotListed { member_id } => {
                format!("member {member_id} is not in the list")
            }
        };
        let width = area.width().saturating_sub(LEFT);
        area.cell(3, 1, Align::Left, look.symbols.critical, look.theme.critical);
        let text = format!("{}  {state}", stranger.endpoint);
        area.cell(LEFT, width, Align::Left, &text, look.theme.text);
        area.skip();
        n_lines += 1;
    }
    if n_lines == 0 {
        area.cell(LEFT, 60, Align::Left, "waiting for the first answer", look.theme.quiet);
        n_lines = 1;
    }
    super::page::below(rect, n_lines + 1)
}

fn row(
    member: &MemberSnapshot,
    is_selected: bool,
    columns: &[Placed],
    look: &Look,
    area: &mut Area<'_>,
) {
    if is_selected {
        area.cell(1, 1, Align::Left, look.symbols.selected, look.theme.title);
    }
    let (symbol, style) = mark(member, look);
    area.cell(3, 1, Align::Left, symbol, style);
    for placed in columns {
        if placed.column == Column::Database {
            bar(member, placed, look, area);
            continue;
        }
        let (text, style) = text(placed.column, member, look);
        let style = if is_selected { style.patch(look.theme.selected) } else { style };
        area.cell(placed.x, placed.width, placed.column.align(), &text, style);
    }
    area.skip();
}

/// Used, free and remaining space as a bar, and the share of the quota as a number.
fn bar(member: &MemberSnapshot, placed: &Placed, look: &Look, area: &mut Area<'_>) {
    let theme = &look.theme;
    let is_fresh = member.db_size.known().is_some();
    let base = if is_fresh { theme.text } else { theme.quiet };
    let Some(&size) = member.db_size.last() else {
        return area.cell(placed.x, placed.width, Align::Left, look.symbols.unknown, theme.quiet);
    };
    let stale = if is_fresh { "" } else { look.symbols.stale };
    let Some(&quota) = member.db_quota.last() else {
        // Without a quota there is nothing to be a share of.
        let text = format!("{stale}{}", bytes(size));
        return area.cell(placed.x, placed.width, Align::Left, &text, base);
    };
    let width = placed.width - 5;
    let cells = |part: u64| {
        let share = part as f64 / quota.max(1) as f64;
        ((share * width as f64).round() as usize).min(width)
    };
    let share = size as f64 / quota.max(1) as f64;
    let style = match share {
        share if share >= 0.95 => theme.critical,
        share if share >= 0.80 => theme.warning,
        _ => base,
    };
    let taken = cells(size);
    let used = member.db_in_use.last().map_or(taken, |in_use| cells(*in_use)).min(taken);
    let symbols = &look.symbols;
    area.cell(placed.x, used, Align::Left, &symbols.bar_used.repeat(used), style);
    let free = symbols.bar_free.repeat(taken - used);
    area.cell(placed.x + used, taken - used, Align::Left, &free, style);
    let rest = symbols.bar_rest.repeat(width - taken);
    area.cell(placed.x + taken, width - taken, Align::Left, &rest, theme.quiet);
    let text = format!("{stale}{}", percent(share));
    area.cell(placed.x + width, 5, Align::Right, &text, style);
}
