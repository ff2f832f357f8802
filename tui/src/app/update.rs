//! One message changes the state and may ask for effects. The whole behaviour of the keyboard is here.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{App, Effect, Message, Pane, Popup, Screen};
use crate::keymap::{Action, action};

/// The intervals that plus and minus step through.
const INTERVALS: [Duration; 7] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Lines moved by the page keys.
const PAGE_LINES: usize = 10;

/// Takes in one message.
pub fn update(app: &mut App, message: Message) -> Vec<Effect> {
    match message {
        Message::Resized => Vec::new(),
        Message::Snapshot(cluster) => {
            // A paused picture stands still, also when an answer was on its way.
            if !app.is_paused || app.cluster.round == 0 {
                app.show(cluster);
            }
            Vec::new()
        }
        Message::KeyPage(answer) => {
            take_page(app, answer);
            Vec::new()
        }
        Message::KeyValue(answer) => {
            match answer {
                Ok(value) if app.keys.waiting_for == Some(value.ticket) => {
                    app.keys.waiting_for = None;
                    open(app, Popup::Value(Box::new(value)));
                }
                Ok(_) => {}
                Err(error) => {
                    app.keys.waiting_for = None;
                    app.keys.error = Some(error);
                }
            }
            Vec::new()
        }
        Message::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
        Message::Key(key) => press(app, key),
    }
}

fn press(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let is_plain = !key.modifiers.contains(KeyModifiers::CONTROL);
    if app.screen == Screen::Keys && app.keys.typing.is_some() && app.popups.is_empty() && is_plain
    {
        return type_prefix(app, key);
    }
    match action(app.context(), key) {
        Some(action) => act(app, action),
        None => Vec::new(),
    }
}

fn act(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::Quit => return vec![Effect::Quit],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Help => {
            if !matches!(app.popups.last(), Some(Popup::Help(_))) {
                open(app, Popup::Help(app.context()));
            }
        }
        Action::Back => back(app),
        Action::Up => step(app, Step::Back(1)),
        Action::Down => step(app, Step::On(1)),
        Action::PageUp => step(app, Step::Back(PAGE_LINES)),
        Action::PageDown => step(app, Step::On(PAGE_LINES)),
        Action::First => step(app, Step::First),
        Action::Last => step(app, Step::Last),
        Action::Open => return open_selected(app),
        Action::Alarms => open(app, Popup::Alarms),
        Action::SwitchPane => {
            app.pane = match app.pane {
                Pane::Members if !app.report.findings.is_empty() => Pane::Findings,
                Pane::Members | Pane::Findings => Pane::Members,
            };
        }
        Action::Refresh if app.screen == Screen::Keys => return vec![read_page(app)],
        Action::Refresh => return vec![Effect::Refresh],
        Action::Pause => {
            app.is_paused = !app.is_paused;
            return vec![Effect::SetPaused(app.is_paused)];
        }
        Action::Slower => return set_interval(app, INTERVALS.iter().find(|i| **i > app.interval)),
        Action::Faster => {
            return set_interval(app, INTERVALS.iter().rev().find(|i| **i < app.interval));
        }
        Action::BrowseKeys => {
            app.screen = Screen::Keys;
            return vec![read_page(app)];
        }
        Action::EditPrefix => {
            app.keys.typing = Some(String::from_utf8_lossy(&app.keys.prefix).into_owned());
        }
        Action::NextPage if app.keys.next() => return vec![read_page(app)],
        Action::PreviousPage if app.keys.previous() => return vec![read_page(app)],
        Action::NextPage | Action::PreviousPage => {}
    }
    Vec::new()
}

fn open(app: &mut App, popup: Popup) {
    app.popups.push(popup);
    app.scroll = 0;
}

fn back(app: &mut App) {
    app.scroll = 0;
    if app.popups.pop().is_none() {
        app.screen = Screen::Members;
        app.pane = Pane::Members;
    }
}

fn set_interval(app: &mut App, interval: Option<&Duration>) -> Vec<Effect> {
    let Some(interval) = interval else { return Vec::new() };
    app.interval = *interval;
    vec![Effect::SetInterval(*interval)]
}

enum Step {
    Back(usize),
    On(usize),
    First,
    Last,
}

fn stepped(at: usize, step: &Step, n_lines: usize) -> usize {
    let last = n_lines.saturating_sub(1);
    match step {
        Step::Back(lines) => at.saturating_sub(*lines),
        Step::On(lines) => (at + lines).min(last),
        Step::First => 0,
        Step::Last => last,
    }
}

fn step(app: &mut App, step: Step) {
    if !app.popups.is_empty() {
        // The drawing knows how many lines there are and keeps this inside.
        app.scroll = stepped(app.scroll, &step, usize::from(u16::MAX));
        return;
    }
    match (app.screen, app.pane) {
        (Screen::Keys, _) => {
            let n_rows = app.keys.page.as_ref().map_or(0, |page| page.rows.len());
            app.keys.selected = stepped(app.keys.selected, &step, n_rows);
        }
        (Screen::Members, Pane::Members) => {
            let row = stepped(app.selected_row(), &step, app.cluster.members.len());
            app.selected_member = app.cluster.members.get(row).map(|member| member.id);
        }
        (Screen::Members, Pane::Findings) => {
            app.selected_finding = stepped(app.selected_finding, &step, app.report.findings.len());
        }
    }
}

fn open_selected(app: &mut App) -> Vec<Effect> {
    match (app.screen, app.pane) {
        _ if !app.popups.is_empty() => back(app),
        (Screen::Members, Pane::Members) => {
            if let Some(id) = app.selected().map(|member| member.id) {
                open(app, Popup::Member(id));
            }
        }
        (Screen::Members, Pane::Findings) => {
            if let Some(finding) = app.report.findings.get(app.selected_finding).cloned() {
                open(app, Popup::Finding(finding));
            }
        }
        (Screen::Keys, _) => {
            if let Some(key) = app.keys.selected_row().map(|row| row.key.clone()) {
                let ticket = next_ticket(app);
                return vec![Effect::ReadValue { ticket, key }];
            }
        }
    }
    Vec::new()
}

fn next_ticket(app: &mut App) -> u64 {
    app.ticket += 1;
    app.keys.waiting_for = Some(app.ticket);
    app.ticket
}

fn read_page(app: &mut App) -> Effect {
    let ticket = next_ticket(app);
    app.keys.error = None;
    Effect::ReadKeys { ticket, prefix: app.keys.prefix.clone(), from: app.keys.from.clone() }
}

fn take_page(app: &mut App, answer: Result<super::KeyPage, String>) {
    match answer {
        Ok(page) if app.keys.waiting_for == Some(page.ticket) => {
            app.keys.waiting_for = None;
            app.keys.selected = app.keys.selected.min(page.rows.len().saturating_sub(1));
            app.keys.page = Some(page);
        }
        Ok(_) => {}
        Err(error) => {
            app.keys.waiting_for = None;
            app.keys.error = Some(error);
        }
    }
}

fn type_prefix(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    let Some(text) = &mut app.keys.typing else { return Vec::new() };
    match key.code {
        KeyCode::Char(letter) => text.push(letter),
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Esc => app.keys.typing = None,
        KeyCode::Enter => {
            let prefix = text.clone().into_bytes();
            app.keys.open(prefix);
            return vec![read_page(app)];
        }
        _ => {}
    }
    Vec::new()
}
