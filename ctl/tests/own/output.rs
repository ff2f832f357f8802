//! Output for programs under our own name, refreshing status, files for packages.

use super::{ctl, json, says, start};
use prost::Message as _;
use quorate_etcd_files::bbolt::write_file;
use quorate_etcd_files::rows::{Revision, bucket};
use quorate_proto::mvccpb::KeyValue;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Rows of a kilobyte in a snapshot that takes some seconds to restore with a debug build.
const LARGE_ROWS: i64 = 60_000;

/// Where etcdctl prints plain text whatever the format, we print JSON with these names; under its name we do as it does.
#[test]
fn plain_commands_have_json() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path(), 1);
    let url = cluster.client_urls()[0].clone();
    says(&["--endpoints", &url, "put", "a", "1"]);
    says(&["--endpoints", &url, "put", "a", "2"]);
    let compacted = json(&["--endpoints", &url, "compaction", "2"]);
    assert_eq!(compacted, serde_json::json!({ "compactedRevision": 2, "physical": false }));
    let defragmented = json(&["--endpoints", &url, "defrag"]);
    assert_eq!(defragmented["defragmented"][0]["endpoint"], url);
    let file = folder.path().join("s.db");
    let saved = json(&["--endpoints", &url, "snapshot", "save", file.to_str().unwrap()]);
    assert_eq!(saved["path"], file.to_str().unwrap());
    assert_eq!(saved["size"], std::fs::metadata(&file).unwrap().len());
    assert_eq!(saved["serverVersion"], "3.7.0");
    assert_eq!(json(&["version"])["apiVersion"], "3.7");
}

/// `--watch` asks again and again: a second status comes without a second command.
#[test]
fn status_is_refreshed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path(), 1);
    let url = cluster.client_urls()[0].clone();
    let mut child = Command::new(env!("CARGO_BIN_EXE_quoratectl"))
        .args(["--endpoints", &url, "endpoint", "status", "--watch=50ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen: Vec<String> = lines.take(3).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.iter().all(|line| line.starts_with(&url)), "{seen:?}");
}

/// Every command has its man page, and every shell its script, from the definitions that the parser uses.
#[test]
fn pages_and_scripts_are_generated() {
    let folder = tempfile::tempdir().unwrap();
    says(&["generate", folder.path().to_str().unwrap()]);
    for page in [
        "quoratectl.1",
        "quoratectl-get.1",
        "quoratectl-member-add.1",
        "quoratectl-snapshot-export.1",
    ] {
        let path = folder.path().join("man").join(page);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{page} is missing"));
        assert!(text.contains(".SH"), "{page}");
    }
    for script in ["quoratectl.bash", "_quoratectl", "quoratectl.fish", "_quoratectl.ps1"] {
        let path = folder.path().join("completions").join(script);
        assert!(path.is_file(), "{script} is missing");
    }
    assert!(!says(&["--help"]).contains("generate"));
}

/// Output that cannot be written is an error: who keeps it in a file has to hear of a full disk.
#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_quoratectl")).arg("version").stdout(full).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
}

/// Nothing of a progress bar reaches a pipe.
#[test]
fn pipes_see_no_progress() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path(), 1);
    let url = cluster.client_urls()[0].clone();
    let file = folder.path().join("s.db");
    let output = ctl(&["--endpoints", &url, "snapshot", "save", file.to_str().unwrap()]);
    assert!(output.status.success());
    assert!(!output.stderr.contains(&b'\r'), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What quoratectl shows on a terminal, up to its end or until it has shown `awaited`. Escape sequences are in it.
fn on_terminal(arguments: &[&str], awaited: &str) -> String {
    let words = [&[env!("CARGO_BIN_EXE_quoratectl")], arguments].concat();
    let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let mut script = Command::new("timeout")
        .args(["60", "script", "--quiet", "--flush", "--command", &line.join(" "), "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    let mut output = script.stdout.take().unwrap();
    while !String::from_utf8_lossy(&shown).contains(awaited) {
        match output.read(&mut buffer).unwrap() {
            0 => break,
            n => shown.extend_from_slice(&buffer[..n]),
        }
    }
    // The program goes with its terminal.
    script.kill().unwrap();
    script.wait().unwrap();
    String::from_utf8_lossy(&shown).into_owned()
}

/// A snapshot file that takes more than a moment to restore.
fn large_snapshot(path: &Path) {
    let file = std::fs::File::create(path).unwrap();
    write_file(&file, path, |image| {
        image.begin_bucket(bucket::KEY).unwrap();
        for main in 2..2 + LARGE_ROWS {
            let kv = KeyValue {
                key: format!("k{main}").into(),
                value: vec![b'v'; 1000].into(),
                ..KeyValue::default()
            };
            image.push(&Revision { main, sub: 0 }.encode(), &kv.encode_to_vec()).unwrap();
        }
        image.begin_bucket(bucket::META).unwrap();
        Ok(())
    })
    .unwrap();
}

/// `--version` is taken under our own name; etcdctl refuses it.
#[test]
fn version_is_a_flag_too() {
    let [flag, command] = ["--version", "version"].map(|word| ctl(&[word]));
    assert!(flag.status.success());
    assert_eq!(flag.stdout, command.stdout);
}

/// On a terminal every long transfer has its line: what, how much, how fast, and a bar where the whole is known.
#[test]
fn terminals_see_progress() {
    let folder = tempfile::tempdir().unwrap();
    let clusters = ["from", "to"].map(|name| start(&folder.path().join(name), 1));
    let [from, to] = clusters.each_ref().map(|cluster| cluster.client_urls()[0].clone());
    says(&["--endpoints", &from, "put", "key", &"v".repeat(100_000)]);
    let file = |name: &str| folder.path().join(name).display().to_string();

    let shown = on_terminal(&["--endpoints", &from, "snapshot", "save", &file("s.db")], "saved at");
    assert!(shown.contains("\rsaving [#") && shown.contains("B/s"), "{shown:?}");
    let to = to.trim_start_matches("http://");
    let shown = on_terminal(&["--endpoints", &from, "make-mirror", to], "keys/s");
    assert!(shown.contains("\rcopying "), "{shown:?}");

    large_snapshot(&folder.path().join("large.db"));
    let (file, data) = (file("large.db"), file("data"));
    let restore = ["snapshot", "restore", &file, "--skip-hash-check", "--data-dir", &data];
    let shown = on_terminal(&restore, "restored snapshot");
    assert!(shown.contains("\rrestoring [#") && shown.contains("% "), "{shown:?}");
    assert!(shown.contains("s left)"), "{shown:?}");
}
