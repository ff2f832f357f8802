//! How commands end that are interrupted, lose their session, or run other programs: as with real etcdctl 3.7.1, which is run
//! beside ours, and with nothing left behind.

use super::{ctl, says, start};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use testbed::{Version, reference};

/// Longest that anything may take here.
const LIMIT: Duration = Duration::from_secs(60);

/// etcdctl, and ours under its name.
fn programs(folder: &Path) -> [PathBuf; 2] {
    let link = folder.join("etcdctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_quoratectl"), &link).unwrap();
    [reference(Version::V3_7_1, "etcdctl"), link]
}

fn command(program: &Path, url: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["--endpoints", url, "--command-timeout", "30s"]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Waits for a child's end.
fn end(mut child: Child) -> Output {
    until("an end", || child.try_wait().unwrap().is_some());
    child.wait_with_output().unwrap()
}

/// Exit code, standard output and standard error.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn n_keys(url: &str, prefix: &str) -> usize {
    let words = ["--endpoints", url, "-w", "fields", "get", "--prefix", "--count-only", prefix];
    let fields = says(&words);
    let count = fields.lines().find_map(|line| line.strip_prefix("\"Count\" : "));
    count.unwrap_or_else(|| panic!("no count: {fields}")).parse().unwrap()
}

fn first_line(child: &mut Child) -> (String, BufReader<ChildStdout>) {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    (line.trim_end().to_owned(), reader)
}

/// Ctrl-C at a password prompt ends the program with 255, and what is typed next is seen again.
#[test]
fn ctrl_c_at_a_prompt_leaves_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(&folder.path().join("cluster"), 1);
    let url = &cluster.client_urls()[0];
    for program in programs(folder.path()) {
        let name = program.display();
        // The shell outlives the signal that etcdctl's terminal sends to both.
        let line = format!(
            "trap : INT; '{name}' --endpoints {url} user add somebody; echo \"code=$?\"; stty -a; echo is over"
        );
        let mut child = Command::new("script")
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (mut text, mut is_interrupted) = (String::new(), false);
        let mut bytes = [0; 4096];
        while !text.contains("is over") {
            let n = output.read(&mut bytes).unwrap();
            assert!(n > 0, "{name}: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..n]));
            if text.contains("Password of") && !is_interrupted {
                is_interrupted = true;
                // The prompt comes before the echo is turned off.
                std::thread::sleep(Duration::from_secs(1));
                input.write_all(b"abc\x03").unwrap();
            }
        }
        drop(input);
        child.wait().unwrap();
        assert!(text.contains("code=255"), "{name}: {text}");
        assert!(text.split_whitespace().any(|word| word == "echo"), "{name}: {text}");
        assert!(!text.contains("abc"), "{name} shows the password: {text}");
    }
    assert_eq!(says(&["--endpoints", url, "user", "list"]).trim(), "");
}

/// Who gives up waiting for a lock leaves no key for others to wait for.
#[test]
fn an_interrupted_wait_for_a_lock_leaves_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(&folder.path().join("cluster"), 1);
    let url = &cluster.client_urls()[0];
    let [theirs, ours] = programs(folder.path());
    let mut holder = command(&ours, url, &["lock", "L"]).spawn().unwrap();
    assert!(first_line(&mut holder).0.starts_with("L/"));
    let ends = [&theirs, &ours].map(|program| {
        let waiter = command(program, url, &["lock", "L"]).spawn().unwrap();
        until("the waiter's key", || n_keys(url, "L/") == 2);
        interrupt(&waiter);
        let ended = told(&end(waiter));
        until("its going", || n_keys(url, "L/") == 1);
        ended
    });
    assert_eq!(ends[1], (Some(1), String::new(), "Error: context canceled\n".to_owned()));
    assert_eq!(ends[0], ends[1]);
    interrupt(&holder);
    assert_eq!(end(holder).status.code(), Some(0));
    assert_eq!(n_keys(url, "L/"), 0);
}

/// A lock whose lease somebody else revokes protects nothing any more, and says so.
#[test]
fn a_lock_without_its_lease_ends() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(&folder.path().join("cluster"), 1);
    let url = &cluster.client_urls()[0];
    let ends = programs(folder.path()).map(|program| {
        let mut child = command(&program, url, &["lock", "R", "--ttl", "9"]).spawn().unwrap();
        let (key, _reader) = first_line(&mut child);
        let lease = key.strip_prefix("R/").unwrap();
        says(&["--endpoints", url, "lease", "revoke", lease]);
        told(&end(child))
    });
    assert_eq!(ends[1].0, Some(1));
    assert_eq!(ends[1].2, "Error: session expired\n");
    assert_eq!(ends[0], ends[1]);
}

/// A command under a lock: how it ended is told, a signal by its name, and it does not read what is meant for others.
#[test]
fn commands_under_a_lock_end_as_with_etcdctl() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(&folder.path().join("cluster"), 1);
    let url = &cluster.client_urls()[0];
    let [theirs, ours] = programs(folder.path());
    for words in [
        &["lock", "C", "--", "sh", "-c", "kill -9 $$"][..],
        &["lock", "C", "--", "sh", "-c", "kill -2 $$"],
        &["lock", "C", "--", "sh", "-c", "exit 7"],
        &["lock", "C", "cat"],
        &["lock", "C", "no such program"],
    ] {
        let [theirs, ours] = [&theirs, &ours].map(|program| {
            let mut command = command(program, url, words);
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            // Whoever does not read it may be gone already.
            let _ = child.stdin.take().unwrap().write_all(b"not for the command\n");
            told(&end(child))
        });
        assert_eq!(theirs, ours, "{words:?}");
        assert_eq!(n_keys(url, "C/"), 0, "{words:?}");
    }
    let killed = told(
        &command(&ours, url, &["lock", "C", "--", "sh", "-c", "kill -9 $$"]).output().unwrap(),
    );
    assert_eq!(killed, (Some(255), String::new(), "Error: signal: killed\n".to_owned()));
}

/// Lines of an interactive watch that are none.
#[test]
fn lines_of_an_interactive_watch() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(&folder.path().join("cluster"), 1);
    let url = &cluster.client_urls()[0];
    let [theirs, ours] = programs(folder.path());
    for line in ["", "nonsense", "put a 1", "watch", "watch --nonsense"] {
        let [theirs, ours] = [&theirs, &ours].map(|program| {
            let mut command = command(program, url, &["watch", "-i"]);
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            let _ = child.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes());
            told(&end(child))
        });
        assert_eq!(theirs, ours, "{line:?}");
    }
}

/// An interrupted check deletes what it has put.
#[test]
fn an_interrupted_check_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(&folder.path().join("cluster"), 1);
    let url = &cluster.client_urls()[0];
    for program in programs(folder.path()) {
        let child = command(&program, url, &["check", "perf", "--prefix", "/P/"]).spawn().unwrap();
        until("the first keys", || n_keys(url, "/P/") > 20);
        interrupt(&child);
        let ended = told(&end(child));
        assert_eq!(n_keys(url, "/P/"), 0, "{}: {ended:?}", program.display());
    }
}

/// A snapshot with a row that no server can read is refused by status, hash and restore, with etcdutl's exit code.
#[test]
fn a_snapshot_with_a_damaged_row_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(&folder.path().join("cluster"), 1);
    let url = &cluster.client_urls()[0];
    for n in 0..20 {
        says(&["--endpoints", url, "put", &format!("key{n}"), "a value of its own"]);
    }
    let (file, bare) = (folder.path().join("snapshot"), folder.path().join("bare"));
    says(&["--endpoints", url, "snapshot", "save", file.to_str().unwrap()]);
    let mut bytes = std::fs::read(&file).unwrap();
    // A copied database has no digest.
    bytes.truncate(bytes.len() - 32);
    let at = bytes.windows(7).position(|found| found == b"\x0a\x05key13").unwrap();
    bytes[at] = 0x0e;
    std::fs::write(&bare, bytes).unwrap();
    let bare = bare.to_str().unwrap();
    let utl = reference(Version::V3_7_1, "etcdutl");
    for words in [&["snapshot", "status", bare][..], &["hashkv", bare]] {
        let theirs = Command::new(&utl).args(words).output().unwrap();
        let ours = ctl(words);
        assert_eq!(ours.status.code(), Some(1), "{words:?}");
        assert_eq!(theirs.status.code(), ours.status.code(), "{words:?}");
        let text = String::from_utf8_lossy(&ours.stderr);
        // Revision 15, the fourteenth key.
        assert!(text.contains("row 000000000000000f5f0000000000000000 of bucket key"), "{text}");
        assert!(text.contains("its value is no key-value pair"), "{text}");
    }
    let data = folder.path().join("restored");
    let words = ["snapshot", "restore", bare, "--skip-hash-check", "--data-dir"];
    let refused = ctl(&[&words[..], &[data.to_str().unwrap()]].concat());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("of bucket key"), "{text}");
    assert!(!data.exists(), "nothing is left of it");
}
