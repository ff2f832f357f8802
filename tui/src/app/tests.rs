//! Keys against state: what a key press changes and asks for, without terminal or cluster.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use quorate_client::model::{Thresholds, samples};

use super::*;
use crate::keymap::Context;

fn app() -> App {
    let mut app = App::new(Settings {
        endpoints: vec!["127.0.0.1:2379".into()],
        interval: Duration::from_secs(1),
        thresholds: Thresholds::default(),
    });
    update(&mut app, Message::Snapshot(Arc::new(samples::one_down())));
    app
}

fn press(app: &mut App, code: KeyCode) -> Vec<Effect> {
    update(app, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn letter(app: &mut App, letter: char) -> Vec<Effect> {
    press(app, KeyCode::Char(letter))
}

/// `q` and Ctrl-C leave from everywhere.
#[test]
fn quit_from_everywhere() {
    let mut app = app();
    assert_eq!(letter(&mut app, 'q'), [Effect::Quit]);
    letter(&mut app, '?');
    assert_eq!(letter(&mut app, 'q'), [Effect::Quit]);
    press(&mut app, KeyCode::Esc);
    letter(&mut app, 'b');
    letter(&mut app, '/');
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(update(&mut app, Message::Key(ctrl_c)), [Effect::Quit]);
}

/// The selection follows the member, not the row.
#[test]
fn selection_follows_the_member() {
    let mut app = app();
    letter(&mut app, 'j');
    assert_eq!(app.selected().unwrap().name, "n2");
    let mut without_first = samples::healthy();
    without_first.members.remove(0);
    update(&mut app, Message::Snapshot(Arc::new(without_first)));
    assert_eq!(app.selected().unwrap().name, "n2");
    letter(&mut app, 'G');
    assert_eq!(app.selected().unwrap().name, "n3");
    letter(&mut app, 'j');
    assert_eq!(app.selected().unwrap().name, "n3", "the end is the end");
}

/// Enter opens what is selected; Esc leads out, step by step.
#[test]
fn enter_opens_and_escape_leads_out() {
    let mut app = app();
    press(&mut app, KeyCode::Enter);
    assert_eq!(app.popups, [Popup::Member(samples::IDS[0])]);
    letter(&mut app, '?');
    assert_eq!(app.popups.last(), Some(&Popup::Help(Context::Popup)));
    press(&mut app, KeyCode::Esc);
    press(&mut app, KeyCode::Esc);
    assert!(app.popups.is_empty());
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Enter);
    assert!(matches!(&app.popups[..], [Popup::Finding(finding)] if finding.rule == "quorum"));
}

/// A paused picture stands still; going on takes the next one.
#[test]
fn pause_stands_still() {
    let mut app = app();
    assert_eq!(letter(&mut app, 'p'), [Effect::SetPaused(true)]);
    update(&mut app, Message::Snapshot(Arc::new(samples::healthy())));
    assert_eq!(*app.cluster, samples::one_down());
    assert_eq!(letter(&mut app, 'p'), [Effect::SetPaused(false)]);
    update(&mut app, Message::Snapshot(Arc::new(samples::healthy())));
    assert_eq!(*app.cluster, samples::healthy());
    assert_eq!(app.report.findings, []);
}

/// Plus and minus step through the intervals and stop at the ends.
#[test]
fn interval_steps() {
    let mut app = app();
    assert_eq!(letter(&mut app, '+'), [Effect::SetInterval(Duration::from_secs(2))]);
    for _ in 0..10 {
        letter(&mut app, '-');
    }
    assert_eq!(app.interval, Duration::from_millis(250));
    assert_eq!(letter(&mut app, '-'), []);
}

fn page(ticket: u64, keys: &[&str], n_from_here: u64) -> Message {
    let rows = keys
        .iter()
        .map(|key| KeyRow { key: key.as_bytes().into(), version: 1, mod_revision: 9, lease: 0 })
        .collect();
    Message::KeyPage(Ok(KeyPage { ticket, rows, n_from_here, revision: 9, is_serializable: false }))
}

/// The next page begins right after the last key; the page before where it began.
#[test]
fn keys_are_paged() {
    let mut app = app();
    let effects = letter(&mut app, 'b');
    let first = Effect::ReadKeys { ticket: 1, prefix: vec![], from: vec![] };
    assert_eq!(effects, [first]);
    update(&mut app, page(1, &["a", "b"], 3));
    let second = Effect::ReadKeys { ticket: 2, prefix: vec![], from: b"b\0".to_vec() };
    assert_eq!(letter(&mut app, 'n'), [second]);
    assert_eq!(letter(&mut app, 'n'), [], "one question at a time");
    update(&mut app, page(2, &["c"], 1));
    assert_eq!(app.keys.n_total(), Some(3));
    assert_eq!(letter(&mut app, 'n'), [], "that was the last page");
    let back = Effect::ReadKeys { ticket: 3, prefix: vec![], from: vec![] };
    assert_eq!(letter(&mut app, 'p'), [back]);
}

/// A page that answers an older question is dropped.
#[test]
fn late_page_is_dropped() {
    let mut app = app();
    letter(&mut app, 'b');
    letter(&mut app, 'r');
    update(&mut app, page(1, &["old"], 1));
    assert_eq!(app.keys.page, None);
    update(&mut app, page(2, &["new"], 1));
    assert_eq!(app.keys.selected_row().unwrap().key, b"new");
}

/// While a prefix is typed, letters are letters.
#[test]
fn typing_a_prefix() {
    let mut app = app();
    letter(&mut app, 'b');
    letter(&mut app, '/');
    for typed in "/qx".chars() {
        assert_eq!(letter(&mut app, typed), []);
    }
    press(&mut app, KeyCode::Backspace);
    let effects = press(&mut app, KeyCode::Enter);
    let expected = Effect::ReadKeys { ticket: 2, prefix: b"/q".to_vec(), from: b"/q".to_vec() };
    assert_eq!(effects, [expected]);
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.screen, Screen::Members);
}
