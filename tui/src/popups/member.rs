//! One member in full: every figure, and for those that are not known the reason.

use ratatui::text::Line;

use quorate_client::model::{Health, MemberId, MemberSnapshot, Value};

use super::{Content, field, paragraph};
use crate::app::App;
use crate::look::{Look, ago, bytes, count, rate};

/// Makes the lines.
pub(super) fn content(app: &App, id: MemberId, width: usize, look: &Look) -> Content {
    let Some(member) = app.cluster.member(id) else {
        let lines = vec![Line::raw("This member is not in the member list any more.")];
        return Content { title: id.to_string(), lines };
    };
    let mut lines = identity(member, look);
    lines.push(Line::default());
    lines.extend(figures(app, member, look));
    let concerned: Vec<_> =
        app.report.findings.iter().filter(|finding| finding.members.contains(&id)).collect();
    for finding in concerned {
        lines.push(Line::default());
        lines.push(Line::styled(
            format!("{}: {}", finding.severity.word(), finding.title),
            look.theme.strong,
        ));
        lines.extend(paragraph(&finding.evidence, width, look.theme.quiet));
        lines.extend(paragraph(&finding.advice, width, look.theme.text));
    }
    Content { title: format!("Member {}", member.label()), lines }
}

fn identity(member: &MemberSnapshot, look: &Look) -> Vec<Line<'static>> {
    let health = match &member.health {
        Health::Checking => "not asked yet".into(),
        Health::Up => "up".into(),
        Health::Impaired { reason } => format!("answers, but: {reason}"),
        Health::Down { reason, since } => format!("down for {}: {reason}", ago(*since)),
        Health::NotStarted => "added, never started".into(),
    };
    let joined = |urls: &[String]| if urls.is_empty() { "none".into() } else { urls.join(", ") };
    vec![
        field("health", health, look),
        field("role", shown(&member.role, |role| role.word().into()), look),
        field("id", member.id.to_string(), look),
        field("votes", if member.is_learner { "no, a learner" } else { "yes" }.into(), look),
        field("client URLs", joined(&member.client_urls), look),
        field("peer URLs", joined(&member.peer_urls), look),
        field("asked at", member.endpoint.clone().unwrap_or_else(|| "nowhere".into()), look),
    ]
}

fn figures(app: &App, member: &MemberSnapshot, look: &Look) -> Vec<Line<'static>> {
    let time = |value| shown(value, |took| exact(*took));
    let size = |value| shown(value, |n| bytes(*n));
    let number = |value| shown(value, |n| count(*n));
    let follows = shown(&member.leader, |leader| match leader {
        None => "nobody".into(),
        Some(id) => app.cluster.member(*id).map_or_else(|| id.to_string(), |leader| leader.label()),
    });
    let alarms = shown(&member.alarms, |alarms| {
        let words: Vec<_> = alarms.iter().map(|alarm| alarm.word()).collect();
        if words.is_empty() { "none".into() } else { words.join(", ") }
    });
    vec![
        field("version", shown(&member.version, String::clone), look),
        field("storage version", shown(&member.storage_version, String::clone), look),
        field("term", number(&member.term), look),
        field("follows", follows, look),
        field("commit index", number(&member.commit_index), look),
        field("applied index", number(&member.applied_index), look),
        field("lag", shown(&member.lag, |n| format!("{} entries, approximate", count(*n))), look),
        field("revision", shown(&member.revision, |n| count(n.unsigned_abs())), look),
        field("database in use", size(&member.db_in_use), look),
        field("database file", size(&member.db_size), look),
        field("quota", size(&member.db_quota), look),
        field("alarms", alarms, look),
        field("log fsync p99", time(&member.fsync_p99), look),
        field("engine commit p99", time(&member.commit_p99), look),
        field("puts per second", shown(&member.puts_per_second, |n| rate(*n)), look),
        field("memory", size(&member.memory), look),
        field("round trip", time(&member.round_trip), look),
        field("linearizable read", time(&member.linearizable_read), look),
    ]
}

/// A figure with its freshness in words.
fn shown<T>(value: &Value<T>, text: impl Fn(&T) -> String) -> String {
    match value {
        Value::Known(known) => text(known),
        Value::Stale { value, age } => format!("{}  ({} ago)", text(value), ago(*age)),
        Value::Unknown(reason) => format!("not known: {reason}"),
    }
}

/// Here, unlike in the table, tenths do not disturb.
fn exact(took: std::time::Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    if ms < 9.95 { format!("{ms:.1} ms") } else { crate::look::milliseconds(took) }
}
