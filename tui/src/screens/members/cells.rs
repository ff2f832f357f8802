//! The text and style of one cell of the member table.

use std::time::Duration;

use ratatui::style::Style;

use quorate_client::model::{Health, MemberSnapshot, Role, Value};

use super::columns::Column;
use crate::look::{Look, ago, bytes, count, milliseconds};

/// The word for a member's state: its role while it answers.
pub fn health_word(member: &MemberSnapshot) -> String {
    match &member.health {
        Health::Checking => "asking".into(),
        Health::NotStarted => "not begun".into(),
        Health::Down { since, .. } => format!("down {}", ago(*since)),
        Health::Up | Health::Impaired { .. } => {
            member.role.last().map_or("answers", |role| role.word()).into()
        }
    }
}

/// The mark before a member's name.
pub fn mark(member: &MemberSnapshot, look: &Look) -> (&'static str, Style) {
    let (symbols, theme) = (&look.symbols, &look.theme);
    match &member.health {
        Health::Up => (symbols.good, theme.good),
        Health::Impaired { .. } => (symbols.warning, theme.warning),
        Health::Down { .. } => (symbols.critical, theme.critical),
        Health::NotStarted | Health::Checking => (symbols.waiting, theme.quiet),
    }
}

/// The text of a cell that is not the bar.
pub fn text(column: Column, member: &MemberSnapshot, look: &Look) -> (String, Style) {
    let theme = &look.theme;
    let is_down = !member.health.answers();
    let plain = if is_down { theme.quiet } else { theme.text };
    let slow =
        |value: &Value<Duration>, limit_ms| latency(value, Duration::from_millis(limit_ms), look);
    match column {
        Column::Name => (member.label(), if is_down { theme.quiet } else { theme.strong }),
        Column::State => (health_word(member), state_style(member, look)),
        Column::Id => (member.id.to_string(), theme.quiet),
        Column::Version => (figure(&member.version, look, String::clone), plain),
        Column::Term => (figure(&member.term, look, |n| n.to_string()), plain),
        Column::Index => {
            let index = member.applied_index.clone().or(|| member.commit_index.clone());
            (figure(&index, look, |n| count(*n)), plain)
        }
        Column::Lag => lag(&member.lag, look),
        Column::InUse => (figure(&member.db_in_use, look, |n| bytes(*n)), plain),
        Column::Size => (figure(&member.db_size, look, |n| bytes(*n)), plain),
        Column::Quota => (figure(&member.db_quota, look, |n| bytes(*n)), plain),
        Column::Alarms => alarms(member, look),
        Column::Fsync => slow(&member.fsync_p99, 500),
        Column::RoundTrip => slow(&member.round_trip, 500),
        Column::Read => slow(&member.linearizable_read, 500),
        Column::Endpoint => (member.endpoint.clone().unwrap_or_default(), theme.quiet),
        Column::Database => (String::new(), plain),
    }
}

/// A figure of now, of before (marked), or the sign for "not known".
pub fn figure<T>(value: &Value<T>, look: &Look, text: impl Fn(&T) -> String) -> String {
    match value {
        Value::Known(known) => text(known),
        Value::Stale { value, .. } => format!("{}{}", look.symbols.stale, text(value)),
        Value::Unknown(_) => look.symbols.unknown.into(),
    }
}

fn state_style(member: &MemberSnapshot, look: &Look) -> Style {
    match (&member.health, member.role.known()) {
        (Health::Down { .. }, _) => look.theme.critical,
        (_, Some(Role::Leaderless)) => look.theme.critical,
        (_, Some(Role::Leader)) => look.theme.strong,
        _ => look.theme.text,
    }
}

fn lag(lag: &Value<u64>, look: &Look) -> (String, Style) {
    match lag.known() {
        Some(entries @ 0..10_000) => (count(*entries), look.theme.text),
        Some(entries @ 10_000..1_000_000) => (format!("{}k", entries / 1000), look.theme.warning),
        Some(_) => (">999k".into(), look.theme.warning),
        None => (look.symbols.unknown.into(), look.theme.quiet),
    }
}

/// A latency of now; what a member took before it went down helps nobody.
fn latency(value: &Value<Duration>, limit: Duration, look: &Look) -> (String, Style) {
    match value.known() {
        Some(took) if *took > limit => (milliseconds(*took), look.theme.warning),
        Some(took) => (milliseconds(*took), look.theme.text),
        None => (look.symbols.unknown.into(), look.theme.quiet),
    }
}

fn alarms(member: &MemberSnapshot, look: &Look) -> (String, Style) {
    match member.alarms.last() {
        None => (look.symbols.unknown.into(), look.theme.quiet),
        Some(alarms) if alarms.is_empty() => ("none".into(), look.theme.quiet),
        Some(alarms) => {
            let words: Vec<_> = alarms.iter().map(|alarm| alarm.word()).collect();
            (words.join(","), look.theme.critical)
        }
    }
}
