//! Starts on bad input: one clear line that says what to do, a non-zero exit, and the data as they were.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testbed::{Process, free_ports};

use super::stage::{READY_MAX, SERVER};

const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// A member of a cluster of one, with flags that a test can overrule (the last one wins).
struct Lone {
    folder: TempDir,
    flags: Vec<String>,
}

impl Lone {
    fn new() -> Lone {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(2).unwrap();
        let (client, peer) =
            (format!("http://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1]));
        let flags = [
            ("name", "m1".to_owned()),
            ("data-dir", folder.path().join("data").to_string_lossy().into_owned()),
            ("listen-client-urls", client.clone()),
            ("advertise-client-urls", client),
            ("listen-peer-urls", peer.clone()),
            ("initial-advertise-peer-urls", peer.clone()),
            ("initial-cluster", format!("m1={peer}")),
        ];
        let flags = flags.map(|(flag, value)| format!("--{flag}={value}")).into();
        Lone { folder, flags }
    }

    /// Where clients are served.
    fn client(&self) -> &str {
        let flag =
            self.flags.iter().find_map(|flag| flag.strip_prefix("--listen-client-urls=http://"));
        flag.unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn process(&self, extra: &[&str]) -> Process {
        let flags: Vec<String> =
            self.flags.iter().cloned().chain(extra.iter().map(|&f| f.to_owned())).collect();
        Process::new("m1", self.folder.path(), Path::new(SERVER), &flags)
    }

    /// A process that takes requests.
    fn running(&self, extra: &[&str]) -> Process {
        let mut process = self.process(extra);
        process.start().unwrap();
        process.wait_ready(READY_MAX).unwrap();
        process
    }

    /// Data of a member that has run and was stopped.
    fn with_data() -> Lone {
        let lone = Lone::new();
        let mut process = lone.running(&[]);
        process.stop(READY_MAX).unwrap();
        fs::remove_file(&process.log).unwrap();
        lone
    }

    /// Wants the start to be refused, and the data left as they were.
    fn refuses(&self, extra: &[&str], words: &[&str]) {
        let before = tree(&self.data());
        self.is_refused(extra, words);
        assert!(before == tree(&self.data()), "the data have changed");
    }

    /// Starts, and wants the start to fail with one line that holds `words`.
    fn is_refused(&self, extra: &[&str], words: &[&str]) {
        let text = self.fails(extra, words);
        assert!(!text.contains("panicked"), "{text}");
    }

    /// The same, whatever stands before that line.
    fn fails(&self, extra: &[&str], words: &[&str]) -> String {
        let mut process = self.process(extra);
        process.start().unwrap();
        let log = process.log.clone();
        let (sender, ended) = std::sync::mpsc::channel();
        let pid = process.pid().unwrap();
        std::thread::spawn(move || sender.send(process.wait()));
        let Ok(status) = ended.recv_timeout(ENDS_WITHIN) else {
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            panic!("it goes on:\n{}", fs::read_to_string(log).unwrap());
        };
        assert!(!status.unwrap().success());
        let text = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        assert!(!text.contains("ready to serve client requests"), "{text}");
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("quorate-server: ")).collect();
        let [line] = lines[..] else { panic!("not one line that tells:\n{text}") };
        println!("{line}");
        for word in words {
            assert!(line.contains(word), "{word:?} is missing in: {line}");
        }
        assert_eq!(repeated(line), None, "said twice in: {line}");
        text
    }
}

/// A run of five words, none of them a number, that comes twice: a cause or a hint that was given before.
fn repeated(line: &str) -> Option<String> {
    let words: Vec<&str> =
        line.split_whitespace().map(|word| word.trim_matches([',', ';', ':', '.'])).collect();
    let runs: Vec<String> = words.windows(5).map(|run| run.join(" ")).collect();
    let is_words = |run: &str| !run.contains(|c: char| c.is_ascii_digit());
    let twice = runs.iter().enumerate().find(|(n, run)| is_words(run) && runs[..*n].contains(run));
    let restarts = line.to_lowercase().matches("restart the member").count();
    twice.map(|(_, run)| run.clone()).or_else(|| (restarts > 1).then(|| "restart".to_owned()))
}

/// Every file below a folder with its content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
            all.insert(path, None);
        } else {
            let content = fs::read(&path).unwrap();
            all.insert(path, Some(content));
        }
    }
    all
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0xff;
    fs::write(file, bytes).unwrap();
}

fn first_file(folder: &Path, extension: &str) -> PathBuf {
    let all = tree(folder);
    let is_wanted = |path: &&PathBuf| path.extension().is_some_and(|found| found == extension);
    all.keys().find(is_wanted).unwrap_or_else(|| panic!("no .{extension} in {folder:?}")).clone()
}

/// A flag that nobody knows.
#[test]
fn unknown_flag() {
    Lone::new().refuses(&["--no-such-flag=1"], &["no-such-flag", "--help"]);
}

/// A port that somebody else has: it is named, and a directory with data stays as it was.
#[test]
fn used_port() {
    let lone = Lone::with_data();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let url = format!("--listen-client-urls=http://127.0.0.1:{port}");
    lone.refuses(&[&url], &[&port.to_string(), "choose another port"]);
}

/// `--initial-cluster` without this member, or with another peer URL.
#[test]
fn mismatched_initial_cluster() {
    let lone = Lone::new();
    lone.refuses(&["--initial-cluster=other=http://127.0.0.1:1"], &["initial-cluster", "Make"]);
    lone.refuses(&["--initial-cluster=m1=http://127.0.0.1:1"], &["initial-cluster", "Make"]);
    assert!(!lone.data().exists(), "a refused start leaves no trace");
}

/// A peer of another cluster, which has not been told of this member: nothing is made.
#[test]
fn wrong_cluster() {
    let (lone, other) = (Lone::new(), Lone::new());
    let mut running = other.process(&[]);
    running.start().unwrap();
    running.wait_ready(READY_MAX).unwrap();
    let peer = |lone: &Lone| {
        let flag =
            lone.flags.iter().find_map(|flag| flag.strip_prefix("--initial-advertise-peer-urls="));
        flag.unwrap().to_owned()
    };
    let cluster = format!("--initial-cluster=m1={},m2={}", peer(&lone), peer(&other));
    let words = ["member count is unequal", "member add"];
    lone.refuses(&[&cluster, "--initial-cluster-state=existing"], &words);
    assert!(!lone.data().exists(), "a refused start leaves no trace");
    assert!(running.is_running());
}

/// A flipped byte in the log, behind its first frame: where it is and what to do is told.
#[test]
fn damaged_log() {
    let lone = Lone::with_data();
    let log = first_file(&lone.data(), "wal");
    // The CRC record fills the first 16 bytes or so; the metadata come next.
    flip(&log, 40);
    lone.refuses(&[], &[&log.file_name().unwrap().to_string_lossy(), "offset", "Restore"]);
}

/// State that is not readable as such.
#[test]
fn damaged_state() {
    let lone = Lone::with_data();
    let files = tree(&lone.data().join("member/snap"));
    let state = files.iter().filter(|(_, content)| content.is_some());
    let (state, _) = state.max_by_key(|(_, content)| content.as_ref().map(Vec::len)).unwrap();
    let mut bytes = fs::read(state).unwrap();
    bytes[..4096].fill(0xa5);
    fs::write(state, bytes).unwrap();
    lone.refuses(&[], &["snap", "restore from a snapshot"]);
}

/// A log of one cluster and the state of another. Nothing is lost by the mistake: with its own log it starts again.
#[test]
fn mixed_data_dirs() {
    let (one, other) = (Lone::with_data(), Lone::with_data());
    let (log, aside) = (one.data().join("member/wal"), one.folder.path().join("wal-aside"));
    fs::rename(&log, &aside).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(other.data().join("member/wal")).arg(&log);
    assert!(copy.status().unwrap().success());
    one.is_refused(&[], &["does not fit", "restore a snapshot"]);
    fs::remove_dir_all(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    let mut process = one.process(&[]);
    process.start().unwrap();
    process.wait_ready(READY_MAX).unwrap();
}

/// A state whose log is gone, as behind a forgotten mount: a member that no longer knows what it promised must not vote.
#[test]
fn lost_log() {
    let lone = Lone::with_data();
    let (log, aside) = (lone.data().join("member/wal"), lone.folder.path().join("wal-aside"));
    fs::rename(&log, &aside).unwrap();
    lone.refuses(&[], &["no log", "--wal-dir", "add it again"]);
    fs::create_dir(&log).unwrap();
    lone.refuses(&[], &["no log"]);
}

/// An empty directory that was made for the log beforehand is used, as etcd does.
#[test]
fn empty_wal_dir() {
    let lone = Lone::new();
    let log = lone.folder.path().join("log");
    fs::create_dir(&log).unwrap();
    let _process = lone.running(&[&format!("--wal-dir={}", log.display())]);
    first_file(&log, "wal");
}

/// A log of the same member that is older than its state, as from a copy of the disk or after a loss of its end: what it
/// had on disk is missing, so the member refuses to vote and answer without it.
#[test]
fn older_log() {
    let lone = Lone::new();
    let starts = |times: usize| {
        for _ in 0..times {
            let mut process = lone.running(&[]);
            process.stop(READY_MAX).unwrap();
            fs::remove_file(&process.log).unwrap();
        }
    };
    starts(1);
    let (log, older) = (lone.data().join("member/wal"), lone.folder.path().join("older"));
    let copied = Command::new("cp").arg("-r").args([&log, &older]).status();
    assert!(copied.unwrap().success());
    starts(2);
    fs::remove_dir_all(&log).unwrap();
    fs::rename(&older, &log).unwrap();
    lone.is_refused(&[], &["has lost its end", "add it again"]);
}

/// A sector in the middle of the log that reads as zeros looks like a write that a crash has torn. The entries behind it
/// were acknowledged: the member refuses to go on without them.
#[test]
fn zeroed_sector() {
    let lone = Lone::new();
    let mut process = lone.running(&[]);
    for _ in 0..100 {
        put_by_json(lone.client());
    }
    // Long enough for the state to have been flushed after the last of them.
    std::thread::sleep(Duration::from_secs(1));
    process.kill().unwrap();
    fs::remove_file(&process.log).unwrap();
    let log =
        fs::read_dir(lone.data().join("member/wal")).unwrap().map(|file| file.unwrap().path());
    let log = log.filter(|path| path.extension().is_some_and(|kind| kind == "wal")).min().unwrap();
    let used = fs::read(&log).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.write_all_at(&[0; 512], (used / 2 / 512 * 512) as u64).unwrap();
    lone.is_refused(&[], &["add it again"]);
}

/// One put, over the JSON gateway.
fn put_by_json(address: &str) {
    let body = format!(r#"{{"key":"Zm9v","value":"{}"}}"#, "YmFy".repeat(50));
    let mut line = TcpStream::connect(address).unwrap();
    let head = format!("Host: {address}\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(line, "POST /v3/kv/put HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// What a killed restore has left: an empty member must not take the place of the data that were to come.
#[test]
fn broken_off_restore() {
    let lone = Lone::new();
    fs::create_dir_all(lone.data().join("member.tmp/snap")).unwrap();
    lone.refuses(&[], &["was broken off", "restore again"]);
}

/// A directory that a running member holds.
#[test]
fn data_dir_in_use() {
    let lone = Lone::new();
    let mut process = lone.running(&[]);
    let ports = free_ports(2).unwrap();
    let [client, peer] = ["client", "peer"].map(|kind| {
        let n = usize::from(kind == "peer");
        format!("--listen-{kind}-urls=http://127.0.0.1:{}", ports[n])
    });
    let second = lone.process(&[&client, &peer]);
    let mut second = second;
    second.start().unwrap();
    assert!(!second.wait().unwrap().success());
    assert!(process.is_running());
}

/// A file system without room for a log.
#[test]
fn full_disk() {
    let mut lone = Lone::new();
    let mount = lone.folder.path().join("small");
    fs::create_dir(&mount).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(&mount).status();
    assert!(mounted.unwrap().success(), "a full disk is tested as root");
    let _unmount = Unmount(mount.clone());
    lone.flags.push(format!("--data-dir={}", mount.join("data").display()));
    lone.refuses(&[], &["small", "disk space"]);
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}
