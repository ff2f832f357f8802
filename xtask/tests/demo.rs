//! The headless demo, run as CI and a newcomer run it: every act works, and nothing is left behind.

use std::process::Command;

/// Writes, a killed leader, a backup and a restore all work; no folder and no process stays.
#[test]
fn the_headless_demo_plays_and_leaves_nothing() {
    let places = tempfile::tempdir().unwrap();
    let demo = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["demo", "--headless", "5"])
        // `cargo xtask test` has built everything; anybody else's first run builds it here.
        .args(std::env::var_os("QUORATE_IS_BUILT").map(|_| "--no-build"))
        // Everything the demo makes goes below the temporary folder it is given.
        .env("TMPDIR", places.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&demo.stdout);
    let errors = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{said}\n{errors}");
    for act in 1..=5 {
        assert!(said.contains(&format!("demo: act {act}: ")), "{said}");
    }
    let left: Vec<_> = std::fs::read_dir(places.path()).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(processes_with(&places.path().to_string_lossy()), Vec::<String>::new());
}

/// Command lines of running processes that name a path.
fn processes_with(path: &str) -> Vec<String> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = pids.filter_map(|pid| std::fs::read(pid.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(path)).collect()
}
