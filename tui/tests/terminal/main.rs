//! The real program in a real terminal with a real cluster: what is seen, that keys answer while members hang, and that
//! the terminal is clean after the end, signals and panics.

#[path = "../../../client/tests/model/cluster.rs"]
mod cluster;
mod tmux;

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use cluster::{Cluster, Setup};
use tmux::Terminal;

/// The limit of the dashboard's questions to members.
const QUESTION_LIMIT: Duration = Duration::from_secs(4);

/// Types the dashboard's command, followed by a line that shows how it ended.
fn start(terminal: &Terminal, prefix: &str, cluster: &Cluster) {
    let program = env!("CARGO_BIN_EXE_quorate-tui");
    let endpoints = cluster.endpoints().join(",");
    let command = format!(
        "{prefix} {program} --refresh 250ms --timeout {}s --endpoints {endpoints}",
        QUESTION_LIMIT.as_secs()
    );
    terminal.type_line(&format!("clear; {command}; echo ended-with=$?"));
}

/// The whole story: look, lose a member, see it, help, resize, quit.
#[test]
fn a_member_dies_while_we_watch() {
    let mut cluster = Cluster::start(3);
    let terminal = Terminal::open(80, 24);
    let settings = terminal.line_settings();
    start(&terminal, "", &cluster);
    terminal.wait_for("3 of 3 up, can lose 1");
    let screen = terminal.wait_for("healthy");
    for text in ["Quorate", "n1", "n2", "n3", "leader", "follower", "3.7.1", "q quit"] {
        assert!(screen.contains(text), "{text:?} is missing on:\n{screen}");
    }
    cluster.kill(2);
    terminal.wait_for("2 of 3 up, can lose 0");
    let screen = terminal.wait_for("member n3 is down");
    assert!(screen.contains("degraded") && screen.contains("connection refused"), "{screen}");
    terminal.press("?");
    terminal.wait_for("Keys and signs");
    terminal.press("Escape");
    terminal.resize(40, 10);
    terminal.wait_for("terminal too small");
    terminal.resize(140, 40);
    terminal.wait_for("IN USE");
    cluster.restart(2);
    terminal.wait_for("3 of 3 up, can lose 1");
    terminal.press("q");
    terminal.wait_for("ended-with=0");
    terminal.assert_clean(&settings);
}

/// A Quorate cluster looks the same: its members, and the new leader after the old one was killed.
#[test]
fn quorate_cluster() {
    let server = Path::new(env!("CARGO_BIN_EXE_quorate-tui")).with_file_name("quorate-server");
    assert!(
        server.is_file(),
        "{} is missing. Run `cargo build -p quorate-server`, or `cargo xtask test`.",
        server.display()
    );
    let mut cluster = Cluster::start_as(Setup { server, n_members: 3, flags: vec![] });
    let terminal = Terminal::open(120, 36);
    start(&terminal, "", &cluster);
    terminal.wait_for("3 of 3 up, can lose 1");
    let leader = |screen: &str| {
        let mut rows = screen.lines().filter(|line| line.contains(" leader "));
        let row = rows.find(|line| line.contains(['●', '▲']))?;
        row.split_whitespace().find_map(|word| word.strip_prefix('n')?.parse::<usize>().ok())
    };
    let screen = terminal.wait_until("a leader", |screen| leader(screen).is_some());
    let old = leader(&screen).expect("just seen");
    cluster.kill(old - 1);
    terminal.wait_for("2 of 3 up, can lose 0");
    terminal.wait_until("a new leader", |screen| leader(screen).is_some_and(|new| new != old));
    cluster.restart(old - 1);
    terminal.wait_for("3 of 3 up, can lose 1");
    terminal.press("q");
    terminal.wait_for("ended-with=0");
}

/// While the only member hangs, keys answer at once and the screen says what is wrong.
#[test]
fn keys_answer_while_the_cluster_hangs() {
    let cluster = Cluster::start(1);
    let terminal = Terminal::open(80, 24);
    start(&terminal, "", &cluster);
    terminal.wait_for("1 of 1 up");
    cluster.pause(0);
    terminal.wait_for("0 of 1 up");
    for (key, text) in [("?", "Keys and signs"), ("Escape", "FINDINGS"), ("p", "PAUSED")] {
        let pressed = Instant::now();
        terminal.press(key);
        terminal.wait_for(text);
        // Anything that waited for the member would take the questions' limit; half of it leaves room for a busy machine.
        assert!(pressed.elapsed() < QUESTION_LIMIT / 2, "{key} took {:?}", pressed.elapsed());
    }
    terminal.press("b");
    terminal.wait_for("reading");
    terminal.press("q");
    terminal.wait_for("ended-with=0");
    cluster.resume(0);
}

/// While the picture is paused nothing else wakes the loop: every single key has to.
#[test]
fn every_key_answers_while_paused() {
    let cluster = Cluster::start(1);
    let terminal = Terminal::open(80, 24);
    start(&terminal, "", &cluster);
    terminal.wait_for("1 of 1 up");
    terminal.press("p");
    terminal.wait_for("PAUSED");
    for _ in 0..5 {
        terminal.press("?");
        terminal.wait_for("Keys and signs");
        terminal.press("Escape");
        terminal.wait_until("no popup", |screen| !screen.contains("Keys and signs"));
    }
    terminal.press("p");
    terminal.wait_for("every 250 ms");
    terminal.press("q");
    terminal.wait_for("ended-with=0");
}

/// Keys are browsed by prefix, and a value is shown.
#[test]
fn keys_are_browsed() {
    let cluster = Cluster::start(1);
    let terminal = Terminal::open(80, 24);
    let etcdctl = testbed::reference(testbed::Version::V3_7_1, "etcdctl");
    let etcdctl = etcdctl.display();
    let endpoint = cluster.endpoint(0);
    let put = format!("{etcdctl} --endpoints {endpoint} put");
    terminal.type_line(&format!(
        "{put} /a/x '{{\"colour\":\"green\"}}'; {put} /b/y other; echo wrote=$?"
    ));
    terminal.wait_for("wrote=0");
    start(&terminal, "", &cluster);
    terminal.wait_for("1 of 1 up");
    terminal.press("b");
    terminal.wait_for("1 to 2 of 2 keys");
    terminal.press("/");
    for letter in ["/", "a"] {
        terminal.press(letter);
    }
    terminal.press("Enter");
    let screen = terminal.wait_for("1 to 1 of 1 keys");
    assert!(screen.contains("/a/x") && !screen.contains("/b/y"), "{screen}");
    terminal.press("Enter");
    terminal.wait_for("\"colour\": \"green\"");
    terminal.press("q");
    terminal.wait_for("ended-with=0");
}

/// Signals end the program with their code and a clean terminal, also while the cluster hangs.
#[test]
fn signals_leave_a_clean_terminal() {
    let cluster = Cluster::start(1);
    let terminal = Terminal::open(80, 24);
    let settings = terminal.line_settings();
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        start(&terminal, "", &cluster);
        terminal.wait_for("FINDINGS");
        cluster.pause(0);
        let pid = Pid::from_raw(terminal.child()).expect("a process id");
        kill_process(pid, signal).expect("the process is ours");
        terminal.wait_for(&format!("ended-with={code}"));
        terminal.assert_clean(&settings);
        cluster.resume(0);
    }
}

/// Ctrl-Z gives the terminal to the shell, `fg` brings the dashboard back as it was.
#[test]
fn suspend_and_continue() {
    let cluster = Cluster::start(1);
    let terminal = Terminal::open(80, 24);
    let settings = terminal.line_settings();
    start(&terminal, "", &cluster);
    terminal.wait_for("1 of 1 up");
    terminal.press("C-z");
    terminal.wait_for("Stopped");
    terminal.type_line("clear; fg");
    terminal.wait_for("1 of 1 up");
    terminal.press("?");
    terminal.wait_for("Keys and signs");
    terminal.press("q");
    // What followed the command on its line is gone with the stop.
    terminal.wait_until("the shell", |screen| screen.trim_end().ends_with("shell-is-ready:"));
    terminal.assert_clean(&settings);
}

/// A panic in the loop or in a worker ends with a message on a clean terminal. Planted panics exist in debug builds.
#[test]
fn panics_leave_a_clean_terminal() {
    let cluster = Cluster::start(1);
    let terminal = Terminal::open(100, 30);
    let settings = terminal.line_settings();
    for place in ["loop", "worker"] {
        start(&terminal, &format!("QUORATE_TUI_TEST_PANIC={place}"), &cluster);
        let screen = terminal.wait_for("ended-with=101");
        terminal.assert_clean(&settings);
        assert!(screen.contains("planted in ") && screen.contains(place), "{screen}");
    }
}

/// NO_COLOR: not one colour sequence, but bold and dim are still there.
#[test]
fn no_color_keeps_bold() {
    let cluster = Cluster::start(1);
    let terminal = Terminal::open(80, 24);
    start(&terminal, "", &cluster);
    terminal.wait_for("1 of 1 up");
    let screen = terminal.styled_screen();
    assert!(screen.contains("38;5;6m"), "no cyan by default: {screen:?}");
    terminal.press("q");
    terminal.wait_for("ended-with=0");
    start(&terminal, "NO_COLOR=1", &cluster);
    terminal.wait_for("1 of 1 up");
    let screen = terminal.styled_screen();
    for sequence in screen.split("\x1b[").skip(1) {
        let numbers = sequence.split('m').next().unwrap_or_default();
        for number in numbers.split(';') {
            let is_colour =
                number.len() == 2 && (number.starts_with('3') || number.starts_with('4'));
            assert!(!is_colour || number == "39" || number == "49", "{numbers:?} sets a colour");
        }
    }
    assert!(screen.contains("\x1b[1mQuorate"), "{screen:?}");
    terminal.press("q");
    terminal.wait_for("ended-with=0");
}

/// Without a terminal the program says what to use instead.
#[test]
fn no_terminal_no_dashboard() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_quorate-tui"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("Use --once or --output json"), "{errors}");
}

/// `--once` and `--output json` tell the same without a terminal; exit code 1 when nobody answers.
#[test]
fn one_picture() {
    let cluster = Cluster::start(1);
    let picture = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_quorate-tui"))
            .args(["--refresh", "200ms", "--timeout", "1s"])
            .args(arguments)
            .output()
            .expect("the program runs")
    };
    let text = picture(&["--once", "--endpoints", &cluster.endpoint(0)]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("1 of 1 up, can lose 0") && text.contains("FINDINGS"), "{text}");
    assert!(!text.contains('\x1b'), "no escape sequences in {text:?}");
    let json = picture(&["--output", "json", "--endpoints", &cluster.endpoint(0)]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    assert_eq!(json["members"][0]["name"], "n1");
    assert_eq!(json["members"][0]["health"]["state"], "up");
    assert_eq!(json["quorum"]["value"]["voters"], 1);
    assert_eq!(json["findings"][0]["rule"], "quorum");
    let nobody = picture(&["--once", "--endpoints", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stdout).contains("no endpoint answers"));
}
