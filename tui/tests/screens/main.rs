//! Screens compared with pictures in `golden/`: the text, and under it a map of styles, so that a lost highlight is
//! seen too. `QUORATE_UPDATE_SCREENS=1 cargo test -p quorate-tui --test screens` writes the pictures anew; look at the
//! difference before committing it.

mod picture;

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use quorate_client::model::{ClusterSnapshot, Thresholds, samples};
use quorate_tui::app::{App, KeyPage, KeyRow, KeyValue, Message, Settings, update};
use quorate_tui::look::Look;
use ratatui::style::Color;

use picture::{assert_picture, draw};

fn colour() -> Look {
    Look::new(true, true)
}

fn app(cluster: ClusterSnapshot) -> App {
    let mut app = App::new(Settings {
        endpoints: vec!["127.0.0.1:2379".into(), "127.0.0.1:22379".into()],
        interval: Duration::from_secs(1),
        thresholds: Thresholds::default(),
    });
    update(&mut app, Message::Snapshot(Arc::new(cluster)));
    app
}

fn press(app: &mut App, code: KeyCode) {
    update(app, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

/// All samples, with every popup that can lie over them.
fn all_states() -> Vec<App> {
    let clusters = [
        ClusterSnapshot::empty(),
        samples::healthy(),
        samples::one_down(),
        samples::no_quorum(),
        samples::nospace(),
        samples::etcd_3_4(),
        samples::nobody(),
    ];
    let mut apps = Vec::new();
    for cluster in clusters {
        for keys in ["", "\n", "?", "a", "\t\n", "b", "b/x"] {
            let mut app = app(cluster.clone());
            for key in keys.chars() {
                press(
                    &mut app,
                    match key {
                        '\n' => KeyCode::Enter,
                        '\t' => KeyCode::Tab,
                        letter => KeyCode::Char(letter),
                    },
                );
            }
            apps.push(app);
        }
    }
    apps
}

/// A healthy cluster is calm at the smallest usual size and complete on a wide screen.
#[test]
fn healthy() {
    assert_picture("healthy_80x24", &app(samples::healthy()), &colour(), 80, 24);
    assert_picture("healthy_120x40", &app(samples::healthy()), &colour(), 120, 40);
    assert_picture("healthy_200x50", &app(samples::healthy()), &colour(), 200, 50);
}

/// A member that is down shows what was last known, marked as such, and what to do.
#[test]
fn one_down() {
    assert_picture("one_down_80x24", &app(samples::one_down()), &colour(), 80, 24);
}

/// Without quorum the screen lives on from the one member that answers.
#[test]
fn no_quorum() {
    assert_picture("no_quorum_80x24", &app(samples::no_quorum()), &colour(), 80, 24);
    assert_picture("no_quorum_120x40", &app(samples::no_quorum()), &colour(), 120, 40);
}

/// An alarm is in the headline, at its member, and first of the findings.
#[test]
fn alarm() {
    assert_picture("nospace_120x40", &app(samples::nospace()), &colour(), 120, 40);
}

/// An old server's missing figures are shown as not known, never as 0.
#[test]
fn etcd_3_4() {
    assert_picture("etcd_3_4_80x24", &app(samples::etcd_3_4()), &colour(), 80, 24);
}

/// When nobody answers the endpoints and their errors are there.
#[test]
fn nobody() {
    assert_picture("nobody_80x24", &app(samples::nobody()), &colour(), 80, 24);
}

/// A terminal that is too small says how large it has to be.
#[test]
fn too_small() {
    assert_picture("too_small_30x6", &app(samples::healthy()), &colour(), 30, 6);
}

/// At the smallest size all members are in sight, the figures that do not fit give way whole.
#[test]
fn smallest() {
    assert_picture("one_down_60x14", &app(samples::one_down()), &colour(), 60, 14);
}

/// Without colour and UTF-8 everything is still said.
#[test]
fn plain_ascii() {
    let plain = Look::new(false, false);
    assert_picture("one_down_ascii_80x24", &app(samples::one_down()), &plain, 80, 24);
}

/// The popups: a member with reasons for what is not known, a finding, the alarms, the keys.
#[test]
fn popups() {
    let mut down = app(samples::one_down());
    press(&mut down, KeyCode::Char('G'));
    press(&mut down, KeyCode::Enter);
    assert_picture("member_100x44", &down, &colour(), 100, 44);
    let mut finding = app(samples::no_quorum());
    press(&mut finding, KeyCode::Tab);
    press(&mut finding, KeyCode::Enter);
    assert_picture("finding_80x24", &finding, &colour(), 80, 24);
    let mut alarms = app(samples::nospace());
    press(&mut alarms, KeyCode::Char('a'));
    assert_picture("alarms_80x24", &alarms, &colour(), 80, 24);
    let mut help = app(samples::healthy());
    press(&mut help, KeyCode::Char('?'));
    assert_picture("help_120x40", &help, &colour(), 120, 40);
}

/// The key browser: a page, then a value.
#[test]
fn key_browser() {
    let mut app = app(samples::healthy());
    press(&mut app, KeyCode::Char('b'));
    let row = |key: &[u8], mod_revision, lease| KeyRow {
        key: key.into(),
        version: 3,
        mod_revision,
        lease,
    };
    let rows = vec![
        row(b"/registry/configmaps/kube-system/coredns", 1_204_001, 0),
        row(b"/registry/leases/kube-node-lease/worker-1", 1_204_331, 0x694d_9c3f_2a11_0c05),
        row(b"\x00binary\xff", 7, 0),
    ];
    let page = KeyPage {
        ticket: 1,
        rows,
        n_from_here: 1_734,
        revision: 1_204_331,
        is_serializable: false,
    };
    update(&mut app, Message::KeyPage(Ok(page)));
    press(&mut app, KeyCode::Char('j'));
    assert_picture("keys_80x24", &app, &colour(), 80, 24);
    press(&mut app, KeyCode::Enter);
    let value = KeyValue {
        ticket: 2,
        key: b"/registry/leases/kube-node-lease/worker-1".to_vec(),
        value: br#"{"kind":"Lease","spec":{"holderIdentity":"worker-1","renewTime":null}}"#
            .to_vec(),
        create_revision: 812,
        mod_revision: 1_204_331,
        version: 4_021,
        lease: 0,
    };
    update(&mut app, Message::KeyValue(Ok(value)));
    assert_picture("value_80x24", &app, &colour(), 80, 24);
}

/// Under NO_COLOR no cell has a colour: crossterm would turn it into a reset of bold and dim.
#[test]
fn plain_theme_has_no_colour() {
    for app in all_states() {
        let buffer = draw(&app, &Look::new(false, true), 120, 40);
        for cell in buffer.content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{:?}", cell.symbol());
        }
    }
}

/// In ASCII mode no byte above 127 is drawn.
#[test]
fn ascii_is_ascii() {
    for app in all_states() {
        let buffer = draw(&app, &Look::new(true, false), 100, 30);
        for cell in buffer.content() {
            assert!(cell.symbol().is_ascii(), "{:?}", cell.symbol());
        }
    }
}

/// No size of terminal makes any screen panic.
#[test]
fn any_size_is_drawn() {
    for app in all_states() {
        for (width, height) in [(1, 1), (59, 13), (60, 14), (61, 15), (79, 17), (97, 25), (250, 90)]
        {
            draw(&app, &colour(), width, height);
        }
    }
}

/// Figures that change every second do not move anything else: the columns stay where they are.
#[test]
fn table_stands_still() {
    let headings = |change: fn(&mut ClusterSnapshot)| {
        let mut cluster = samples::healthy();
        change(&mut cluster);
        let buffer = draw(&app(cluster), &colour(), 80, 24);
        picture::rows(&buffer).nth(5).unwrap()
    };
    let before = headings(|_| {});
    let after = headings(|cluster| {
        *cluster = samples::no_quorum();
        cluster.members[2].lag = quorate_client::model::Value::Known(123_456);
    });
    assert_eq!(before, after);
}
