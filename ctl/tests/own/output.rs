//! Output for programs under our own name, refreshing status, files for packages.

use super::{ctl, json, says, start};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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
