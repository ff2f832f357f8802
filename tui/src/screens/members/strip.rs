//! Two lines with what the table had no room for, of the selected member. Wide terminals do not need it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use quorate_client::model::{Health, MemberSnapshot};
use unicode_width::UnicodeWidthStr;

use super::cells::figure;
use super::columns::{Column, place};
use crate::app::App;
use crate::look::{Area, Look, bytes, milliseconds};

/// Draws the strip, unless every column fits, and gives what is below it.
pub fn draw(app: &App, look: &Look, buffer: &mut Buffer, rect: Rect) -> Rect {
    let Some(member) = app.selected() else { return rect };
    let columns = place(&app.cluster.members, usize::from(rect.width));
    let is_complete = columns.iter().any(|placed| placed.column == Column::Read);
    if is_complete || rect.height < 8 {
        return rect;
    }
    let mut area = Area::new(buffer, rect, &look.symbols);
    let theme = &look.theme;
    let dot = || Span::styled(format!(" {} ", look.symbols.dot), theme.quiet);
    let pair = |label: &str, value: String| {
        [Span::styled(format!("{label} "), theme.quiet), Span::styled(value, theme.text)]
    };
    let mut first = vec![Span::styled(format!("   {}", member.label()), theme.strong), dot()];
    first.extend(pair("id", member.id.to_string()));
    first.push(dot());
    match &member.health {
        Health::Down { reason, .. } | Health::Impaired { reason } => {
            first.push(Span::styled(reason.clone(), theme.warning));
        }
        Health::Up | Health::Checking | Health::NotStarted => {
            let endpoint = member.endpoint.clone();
            first.push(Span::styled(endpoint.unwrap_or_else(|| "no endpoint".into()), theme.text));
        }
    }
    area.line(&Line::from(first));
    area.line(&second(member, look, area.width()));
    super::page::below(rect, 3)
}

/// Space and times; what does not fit is left out whole.
fn second(member: &MemberSnapshot, look: &Look, width: usize) -> Line<'static> {
    let theme = &look.theme;
    let space = format!(
        "{} in use of {}, quota {}",
        figure(&member.db_in_use, look, |n| bytes(*n)),
        figure(&member.db_size, look, |n| bytes(*n)),
        figure(&member.db_quota, look, |n| bytes(*n)),
    );
    let items = [
        ("", space),
        ("term ", figure(&member.term, look, u64::to_string)),
        ("commit p99 ", figure(&member.commit_p99, look, |took| milliseconds(*took))),
        ("read ", figure(&member.linearizable_read, look, |took| milliseconds(*took))),
    ];
    let mut spans = vec![Span::raw("   ")];
    let mut used = 3;
    for (at, (label, value)) in items.into_iter().enumerate() {
        let dot = if at == 0 { String::new() } else { format!(" {} ", look.symbols.dot) };
        used += dot.width() + label.width() + value.width();
        if used >= width {
            break;
        }
        spans.push(Span::styled(dot, theme.quiet));
        spans.push(Span::styled(label, theme.quiet));
        spans.push(Span::styled(value, theme.text));
    }
    Line::from(spans)
}
